package page

import (
	"maps"
	"net/http"
	"slices"
)

// outline is what a page has in all languages.
type outline struct {
	status int
	steps  []step // the main one first
}

// step is an action without its text and URL.
type step struct {
	label  string
	method string
	way    Way
}

var (
	signIn         = step{"sign_in", http.MethodGet, ToSignIn}
	signInAgain    = step{"sign_in_again", http.MethodGet, ToSignIn}
	tryAgain       = step{"try_again", http.MethodGet, ToSignIn}
	startAgain     = step{"start_again", http.MethodGet, ToSignIn}
	anotherAccount = step{"another_account", http.MethodGet, ToSwitch}
	signOut        = step{"sign_out", http.MethodPost, ToSignOut}
	signOutAgain   = step{"sign_out_again", http.MethodPost, ToSignOut}
	stay           = step{"stay", http.MethodGet, ToStart}
	start          = step{"home", http.MethodGet, ToStart}
	outside        = step{"home", http.MethodGet, ToOutside}
)

// outlines has the pages by their keys: the codes of the package, then the others.
var outlines = map[string]outline{
	"not_signed_in":          {http.StatusUnauthorized, []step{signIn, outside}},
	"forbidden":              {http.StatusForbidden, []step{start}},
	"not_member":             {http.StatusForbidden, []step{start}},
	"mfa_required":           {http.StatusForbidden, []step{start}},
	"step_up_required":       {http.StatusUnauthorized, []step{signInAgain, start}},
	"step_up_failed":         {http.StatusForbidden, []step{tryAgain, outside}},
	"invalid_token":          {http.StatusUnauthorized, []step{outside}},
	"unknown_resource":       {http.StatusInternalServerError, []step{start}},
	"scope_missing":          {http.StatusInternalServerError, []step{start}},
	"provider_unavailable":   {http.StatusServiceUnavailable, []step{tryAgain, outside}},
	"provider_misconfigured": {http.StatusBadGateway, []step{outside}},
	"provider_rejected":      {http.StatusBadGateway, []step{tryAgain, outside}},
	"declined":               {http.StatusForbidden, []step{tryAgain, outside}},
	"bad_callback":           {http.StatusBadRequest, []step{signIn, outside}},
	"sign_in_expired":        {http.StatusBadRequest, []step{startAgain, outside}},
	"cookies_blocked":        {http.StatusBadRequest, []step{tryAgain, outside}},
	"cookie_conflict":        {http.StatusBadRequest, []step{tryAgain, outside}},
	"session_too_large":      {http.StatusInternalServerError, []step{outside}},
	"store_unavailable":      {http.StatusServiceUnavailable, []step{tryAgain, outside}},
	"shared_unavailable":     {http.StatusServiceUnavailable, []step{tryAgain, outside}},
	"confirm_sign_out":       {http.StatusOK, []step{signOut, stay}},
	"sign_out_local_only":    {http.StatusServiceUnavailable, []step{signOutAgain, outside}},
	"sign_out_incomplete":    {http.StatusServiceUnavailable, []step{outside}},
	"method_not_allowed":     {http.StatusMethodNotAllowed, []step{outside}},
	"bad_request":            {http.StatusBadRequest, []step{outside}},
	"internal":               {http.StatusInternalServerError, []step{outside}},

	MissingRole:       {http.StatusForbidden, []step{start}},
	MissingPermission: {http.StatusForbidden, []step{start}},
	NotConfirmed:      {http.StatusForbidden, []step{tryAgain, outside}},
	SignInRefused:     {http.StatusForbidden, []step{anotherAccount, outside}},
	OtherAddress:      {http.StatusBadRequest, []step{startAgain, outside}},
	CookiesOf:         {http.StatusBadRequest, []step{tryAgain, outside}},
}

// Keys are those of all pages. Tests look at each.
func Keys() []string { return slices.Sorted(maps.Keys(outlines)) }

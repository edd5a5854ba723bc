package page

import (
	"net/http"
	"slices"
)

// For returns the page for a code, without URLs. An unknown code has no status, and
// the texts of "internal".
func For(code string) Page {
	p, known := pages[code]
	if !known {
		p = pages["internal"]
		p.Status = 0
	}
	p.Actions = slices.Clone(p.Actions) // the caller writes to them
	return p
}

// pages tell people what happened and what to do now. The texts are for people who
// know no technical terms and have done nothing wrong.
var pages = map[string]Page{
	"not_signed_in":          text(http.StatusUnauthorized, ToSignIn, "Please sign in", "You are not signed in, or your session has ended: sign in, then try again.", "Sign in"),
	"forbidden":              text(http.StatusForbidden, ToStart, "This page is not open to you", "You are signed in, but your account has no access here; if you think it should, ask the people who run this application.", "Back to the start"),
	"not_member":             text(http.StatusForbidden, ToStart, "This page is not open to you", "You are signed in, but your account does not belong to this organization; if it should, ask the people who run it.", "Back to the start"),
	"mfa_required":           text(http.StatusForbidden, ToStart, "A second factor is missing", "This organization asks its members for a second way to prove who they are: set one up for your account, then sign in again.", "Back to the start"),
	"step_up_required":       text(http.StatusUnauthorized, ToSignIn, "Please confirm that it is you", "This needs a fresh sign-in: sign in once more, then try again.", "Sign in again"),
	"step_up_failed":         orHome(text(http.StatusForbidden, ToSignIn, "We could not confirm that it is you", "The fresh sign-in did not happen the way this page needs, or another person signed in; nothing was changed.", "Try again")),
	"invalid_token":          text(http.StatusUnauthorized, ToOutside, "This request was not accepted", "Its credentials are not valid for this service, or have expired.", "Back to the start"),
	"unknown_resource":       text(http.StatusInternalServerError, ToStart, "This is not set up correctly", "This is not your fault: the people who run this application have to correct its settings.", "Back to the start"),
	"scope_missing":          text(http.StatusInternalServerError, ToStart, "This is not set up correctly", "This is not your fault: the people who run this application have to correct its settings.", "Back to the start"),
	"provider_unavailable":   text(http.StatusServiceUnavailable, ToSignIn, "Signing in is not possible right now", "The sign-in service is not answering: please try again in a moment.", "Try again"),
	"provider_misconfigured": text(http.StatusBadGateway, ToOutside, "Signing in is not set up correctly", "This is not your fault: the people who run this application have to correct its settings.", "Back to the start"),
	"provider_rejected":      text(http.StatusBadGateway, ToSignIn, "Signing in did not work", "The answer from the sign-in service did not pass our safety checks: please try again.", "Try again"),
	"declined":               orHome(text(http.StatusForbidden, ToSignIn, "The sign-in was not completed", "It was cancelled or declined; you can try again whenever you like.", "Try again")),
	"bad_callback":           orHome(text(http.StatusBadRequest, ToSignIn, "This sign-in could not be finished", "It was started somewhere else, or has already ended: please start again here.", "Sign in")),
	"sign_in_expired":        orHome(text(http.StatusBadRequest, ToSignIn, "This sign-in could not be finished", "It took too long, or was begun in another browser or at another address of this site: please start again.", "Start again")),
	"cookies_blocked":        orHome(text(http.StatusBadRequest, ToSignIn, "Your browser sent no cookies", "A sign-in needs them: allow cookies for this site, or go back to the browser in which you began, then try again.", "Try again")),
	"session_too_large":      text(http.StatusInternalServerError, ToOutside, "You could not be signed in", "Your account carries more information than this application can keep: please tell the people who run it.", "Back to the start"),
	"store_unavailable":      text(http.StatusServiceUnavailable, ToSignIn, "We cannot look up your session right now", "Something on our side is not answering: please try again in a moment.", "Try again"),
	"shared_unavailable":     text(http.StatusServiceUnavailable, ToSignIn, "We cannot look up your session right now", "Something on our side is not answering: please try again in a moment.", "Try again"),
	"confirm_sign_out":       question(http.StatusOK, "Do you want to sign out?", "You will have to sign in again to go on.", "Sign out"),
	"sign_out_local_only":    orHome(question(http.StatusServiceUnavailable, "You are signed out of this application", "The sign-in service could not be reached: it may still know you, so that the next sign-in needs no password.", "Sign out again")),
	"sign_out_incomplete":    text(http.StatusServiceUnavailable, ToOutside, "You are signed out in this browser only", "We could not record it everywhere, so a copy of your session, if there is one, may still work for some time.", "Back to the start"),
	"cookie_conflict":        text(http.StatusBadRequest, ToSignIn, "Your browser's cookies are in the way", "Your browser sends a cookie that a sign-in cannot replace: delete the cookies of this site in the browser's settings, then try again.", "Try again"),
	"method_not_allowed":     text(http.StatusMethodNotAllowed, ToOutside, "This page does not work that way", "It was opened in a way that it does not support: please go back and try again.", "Back to the start"),
	"bad_request":            text(http.StatusBadRequest, ToOutside, "We did not understand that", "Something in the address or in the form is not right: please go back and try again.", "Back to the start"),
	"internal":               text(http.StatusInternalServerError, ToOutside, "Something went wrong", "This is our mistake, not yours: please try again in a moment.", "Back to the start"),
}

func text(status int, way Way, title, sentence, action string) Page {
	return Page{Status: status, Title: title, Text: sentence, Actions: []Action{{Text: action, Method: http.MethodGet, Way: way}}}
}

// question is a page with a button that acts.
func question(status int, title, sentence, action string) Page {
	return Page{Status: status, Title: title, Text: sentence, Actions: []Action{{Text: action, Method: http.MethodPost, Way: ToSignOut}}}
}

// orHome adds a way home to a page.
func orHome(p Page) Page {
	p.Actions = append(p.Actions, Action{Text: "Back to the start", Method: http.MethodGet, Way: ToOutside})
	return p
}

// NotSaved is for a person whose form was refused before the application got it.
const NotSaved = "What you have just sent was not saved."

package app

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gosignin/signin"
)

// Account is behind RequireAuth: there is always a user.
func Account(w http.ResponseWriter, r *http.Request) {
	// User has no fields for these claims, so they are decoded into a type that has.
	claims, err := signin.ClaimsAs[struct {
		CreatedAt int64 `json:"created_at"` // at Logto, in milliseconds
		IssuedAt  int64 `json:"iat"`        // of the last ID token, in seconds
	}](r.Context())
	if err != nil {
		fail(w, r, err)
		return
	}
	page := struct {
		view
		Since, Renewed time.Time // zero if the provider does not say
		Everywhere     bool      // whether the person has come here by SignOutEverywhere
		Claims         string
	}{view: viewOf(r, "account.title")}
	page.Everywhere = r.URL.Query().Has("everywhere")
	var all bytes.Buffer
	_ = json.Indent(&all, page.User.Claims, "", "  ") // ClaimsAs has decoded it, so it is JSON
	page.Claims = all.String()
	if claims.CreatedAt != 0 {
		page.Since = time.UnixMilli(claims.CreatedAt)
	}
	if claims.IssuedAt != 0 {
		page.Renewed = time.Unix(claims.IssuedAt, 0)
	}
	render(w, http.StatusOK, "account", page)
}

// SignOutEverywhere is behind RequireAuth. It ends every session of the user, this one
// included, and begins a new one here: the provider still knows this browser, and
// answers without a question. It knows other browsers too, so this does not lock out a
// thief: for that, suspend the account at the provider, or change its password.
func SignOutEverywhere(auth *signin.Auth) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, _ := signin.UserFrom(r.Context())
		if err := auth.EndSessions(r.Context(), user.Subject); err != nil {
			auth.HandleError(w, r, err) // EndSessions has no errors but those of package signin
			return
		}
		http.Redirect(w, r, "/sign-in?return_to=/account%3Feverywhere", http.StatusSeeOther)
	}
}

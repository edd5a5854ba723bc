package page

import "net/http"

// For returns the page for a code, without the Href. An unknown code has no status,
// and the texts of "internal".
//
// The texts tell people who did nothing wrong and know none of the terms what
// happened, and what to do now.
func For(code string) Page {
	switch code {
	case "not_signed_in":
		return text(http.StatusUnauthorized, ToSignIn, "Please sign in", "You are not signed in, or your session has ended: sign in, then try again.", "Sign in")
	case "forbidden":
		return text(http.StatusForbidden, ToStart, "This page is not open to you", "You are signed in, but your account has no access here; if you think it should, ask whoever runs this application.", "Back to the start")
	case "not_member":
		return text(http.StatusForbidden, ToStart, "This page is not open to you", "You are signed in, but your account does not belong to this organization; if it should, ask whoever runs it.", "Back to the start")
	case "mfa_required":
		return text(http.StatusForbidden, ToStart, "A second factor is missing", "This organization asks its members for a second way to prove who they are: set one up for your account, then sign in again.", "Back to the start")
	case "step_up_required":
		return text(http.StatusUnauthorized, ToSignIn, "Please confirm that it is you", "This needs a fresh sign-in: sign in once more, then try again.", "Sign in again")
	case "step_up_failed":
		return text(http.StatusForbidden, ToSignIn, "We could not confirm that it is you", "The fresh sign-in did not happen the way this page needs, or somebody else signed in; nothing was changed.", "Try again")
	case "invalid_token":
		return text(http.StatusUnauthorized, ToOutside, "This request was not accepted", "What it brought to be let in is not for this service, or has expired.", "Back to the start")
	case "unknown_resource", "scope_missing":
		return text(http.StatusInternalServerError, ToStart, "This is not set up correctly", "This is not your doing: whoever runs this application has to correct its settings.", "Back to the start")
	case "provider_unavailable":
		return text(http.StatusServiceUnavailable, ToSignIn, "Signing in is not possible right now", "The sign-in service is not answering: please try again in a moment.", "Try again")
	case "provider_misconfigured":
		return text(http.StatusBadGateway, ToOutside, "Signing in is not set up correctly", "This is not your doing: whoever runs this application has to correct its settings.", "Back to the start")
	case "provider_rejected":
		return text(http.StatusBadGateway, ToSignIn, "Signing in did not work", "The answer from the sign-in service did not pass our safety checks: please try again.", "Try again")
	case "denied":
		return text(http.StatusForbidden, ToSignIn, "The sign-in was not completed", "It was cancelled or declined; you can try again whenever you like.", "Try again")
	case "bad_callback":
		return text(http.StatusBadRequest, ToSignIn, "This sign-in could not be finished", "It was started somewhere else, or is over already: please start again here.", "Sign in")
	case "sign_in_expired":
		return text(http.StatusBadRequest, ToSignIn, "This sign-in could not be finished", "It took too long, or was begun in another browser or at another address of this site: please start again.", "Start again")
	case "cookies_blocked":
		return text(http.StatusBadRequest, ToSignIn, "Your browser keeps cookies out", "Nobody can be signed in without them: allow cookies for this site, then try again.", "Try again")
	case "session_too_large":
		return text(http.StatusInternalServerError, ToOutside, "You could not be signed in", "Your account carries more information than this application can keep: please tell whoever runs it.", "Back to the start")
	case "store_unavailable", "shared_unavailable":
		return text(http.StatusServiceUnavailable, ToSignIn, "We cannot look up your session right now", "Something on our side is not answering: please try again in a moment.", "Try again")
	case "sign_out":
		p := text(http.StatusOK, ToOutside, "Do you want to sign out?", "You will have to sign in again to go on.", "Sign out")
		p.Action.Post = true
		return p
	case "sign_out_incomplete":
		return text(http.StatusServiceUnavailable, ToOutside, "You are signed out in this browser only", "We could not record it everywhere, so a copy of your session, if somebody has one, may work for some time yet.", "Back to the start")
	case "method_not_allowed":
		return text(http.StatusMethodNotAllowed, ToOutside, "This page does not work that way", "It was called in a way that it does not know: please go back and try again.", "Back to the start")
	case "bad_request":
		return text(http.StatusBadRequest, ToOutside, "We did not understand that", "Something in the address or in the form is not right: please go back and try again.", "Back to the start")
	}
	return text(0, ToOutside, "Something went wrong", "This is our mistake, not yours: please try again in a moment.", "Back to the start")
}

func text(status int, way Way, title, sentence, label string) Page {
	return Page{Status: status, Title: title, Sentence: sentence, Action: Action{Label: label, Way: way}}
}

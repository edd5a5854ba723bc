package app

import "net/http"

// ConfirmDelete is behind AuthenticatedWithin, and so is Delete: whoever sits down at
// a browser that was left open has to sign in first. The form needs the rule too,
// since a form cannot be sent again after a sign-in.
func ConfirmDelete(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "delete", viewOf(r, "Delete your account"))
}

// Delete is also behind http.CrossOriginProtection: it takes forms of this
// application only. In earnest it deletes the account, and then ends the session
// with BeginSignOut of signin.Auth.
func Delete(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "deleted", viewOf(r, "Your account"))
}

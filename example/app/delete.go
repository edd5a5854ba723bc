package app

import "net/http"

// ConfirmDelete is behind AuthenticatedWithin, and so is Delete: a person who finds
// a browser that was left open has to sign in first. The page with the form needs
// the rule too, since a form cannot be sent again after a sign-in.
func ConfirmDelete(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "delete", viewOf(r, "delete.title"))
}

// Delete is also behind http.CrossOriginProtection: it takes forms of this
// application only. A real application deletes the account here, and then ends the
// session with BeginSignOut of signin.Auth.
func Delete(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "deleted", viewOf(r, "deleted.title"))
}

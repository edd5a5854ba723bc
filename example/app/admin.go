package app

import "net/http"

// Admin is behind Require with the rule HasRole. People without the role do not get
// here: they see a page of package signin, with status 403.
func Admin(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "admin", viewOf(r, "admin.title"))
}

package recipes

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/gosignin/signin"
)

// newSPA serves the files of a single-page application, and passes its calls on to
// the API at origin, each with the access token of the person who made it.
func newSPA(auth *signin.Auth, files fs.FS, origin *url.URL, api string) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(origin) },
		Transport: signin.Transport(origin.String(), signin.ForResource(api)),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !auth.HandleError(w, r, err) { // there is a token, and the API cannot be reached
				http.Error(w, "Please try again later.", http.StatusBadGateway)
			}
		},
	}
	sameOrigin := http.NewCrossOriginProtection()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", auth.SignIn())
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut())
	mux.HandleFunc("POST /backchannel-logout", auth.BackChannelLogout())
	mux.Handle("/", http.FileServerFS(files)) // for everyone, and for caches
	mux.Handle("GET /me", auth.RequireAuth(http.HandlerFunc(me)))
	mux.Handle("/api/", sameOrigin.Handler(auth.RequireAuth(proxy)))
	return mux
}

// me says who is signed in. The page has no other way to know: it sees no token.
func me(w http.ResponseWriter, r *http.Request) {
	user, _ := signin.UserFrom(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"name": user.Name, "picture": user.Picture})
}

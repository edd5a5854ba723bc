package recipes

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/gosignin/signin"
)

//go:embed pages
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// render writes a page. On a page that is not guarded, the user may be nil.
func render(w http.ResponseWriter, r *http.Request, name string, data any) {
	user, _ := signin.UserFrom(r.Context())
	var page bytes.Buffer
	err := pages.ExecuteTemplate(&page, name, map[string]any{"User": user, "Here": r.URL.RequestURI(), "Data": data})
	if err != nil {
		slog.ErrorContext(r.Context(), "a page could not be made", "page", name, "error", err)
		http.Error(w, "This is a mistake of ours.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w)
}

// newSite is what main calls, with a Config from the environment.
func newSite(cfg signin.Config) (http.Handler, error) {
	auth, err := signin.New(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sign-in", auth.SignIn())
	mux.HandleFunc("GET /callback", auth.Callback())
	mux.HandleFunc("/sign-out", auth.SignOut())
	mux.HandleFunc("POST /backchannel-logout", auth.BackChannelLogout())
	mux.Handle("GET /shop", auth.Load(http.HandlerFunc(shop))) // the user, if there is one
	mux.Handle("GET /inbox", auth.RequireAuth(http.HandlerFunc(inbox)))
	mux.Handle("GET /inbox/newest", auth.RequireAuth(http.HandlerFunc(newest))) // a fragment, for htmx
	return mux, nil
}

func shop(w http.ResponseWriter, r *http.Request) {
	render(w, r, "shop.html", r.FormValue("category"))
}

func inbox(w http.ResponseWriter, r *http.Request) {
	render(w, r, "inbox.html", nil)
}

func newest(w http.ResponseWriter, r *http.Request) {
	user, _ := signin.UserFrom(r.Context())
	render(w, r, "newest.html", []string{"Welcome, " + user.Name})
}

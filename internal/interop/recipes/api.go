package recipes

import (
	"encoding/json"
	"net/http"

	"github.com/gosignin/signin"
)

// newAPI serves an API for programs that bring an access token. It has no sign-in
// routes: an Auth that is used for RequireBearer alone needs none.
func newAPI(auth *signin.Auth, api string) http.Handler {
	read := auth.RequireBearer(api, signin.HasScope("read:orders"))
	write := auth.RequireBearer(api, signin.HasScope("write:orders"))
	mux := http.NewServeMux()
	mux.Handle("GET /api/orders", read(http.HandlerFunc(listOrders)))
	mux.Handle("POST /api/orders", write(http.HandlerFunc(addOrder)))
	return mux
}

func listOrders(w http.ResponseWriter, r *http.Request) {
	user, _ := signin.UserFrom(r.Context()) // the person the token is for
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode([]map[string]string{{"buyer": user.Subject, "article": "tea"}})
}

func addOrder(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
}

package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"

	"github.com/gosignin/signin"
)

// API is the handler of an API. It has no pages, cookies or sessions. Each request
// has an access token, in which the provider says who the person is, for which API
// the token was made (the audience) and what it permits (the scopes).
func API(auth *signin.Auth, audience string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders", auth.RequireBearer(audience, signin.HasScope("read:orders"))(http.HandlerFunc(listOrders)))
	mux.Handle("POST /orders", auth.RequireBearer(audience, signin.HasScope("write:orders"))(http.HandlerFunc(placeOrder)))
	return mux
}

// reply is what the API answers. Detail is set in refusals, which are the problem
// documents of RequireBearer.
type reply struct {
	Subject string   `json:"subject,omitempty"`
	Scopes  []string `json:"scopes,omitempty"`
	Done    string   `json:"done,omitempty"`
	Detail  string   `json:"detail,omitempty"`
}

func listOrders(w http.ResponseWriter, r *http.Request) {
	writeReply(w, r, http.StatusOK, "Two orders: tea, biscuits.")
}

func placeOrder(w http.ResponseWriter, r *http.Request) {
	writeReply(w, r, http.StatusCreated, "One more order: tea. (It only says so.)")
}

func writeReply(w http.ResponseWriter, r *http.Request, status int, done string) {
	// Behind RequireBearer there always is a user. An access token has their ID and
	// scopes, but no name and no e-mail address.
	user, _ := signin.UserFrom(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply{Subject: user.Subject, Scopes: user.Scopes, Done: done}) // it fails only if the client has gone
}

// StartAPI starts the API at a free port, sets APIURL, and returns what ends it.
// In production an API is a separate program, perhaps another company's: only the
// provider is common to both.
func (s *Settings) StartAPI(application signin.Config) (end func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.APIURL = "http://" + listener.Addr().String()
	auth, err := signin.New(signin.Config{
		LogtoEndpoint: application.LogtoEndpoint,
		// People do not sign in here. The next four fields are set only because New
		// requires them, and could be those of any application at the provider.
		ClientID:     application.ClientID,
		ClientSecret: application.ClientSecret,
		BaseURL:      s.APIURL,
		Keys:         [][]byte{[]byte(rand.Text() + rand.Text())},
		Logger:       application.Logger,
	})
	if err != nil {
		listener.Close()
		return nil, Mistake{err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	// If Serve fails, the page says that the API does not answer.
	go func() { ended <- Serve(ctx, listener, API(auth, s.APIResource)) }()
	return func() {
		cancel()
		<-ended
		listener.Close() // if the end comes before the server has it
	}, nil
}

package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"

	"github.com/gosignin/signin"
)

// API is the handler of an API. It has no pages, cookies or sessions: it knows
// people by the access token that each request brings, in which the provider says
// for which API it was made (the audience) and what it permits (the scopes).
func API(auth *signin.Auth, audience string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders", auth.RequireBearer(audience, signin.HasScope("read:orders"))(http.HandlerFunc(listOrders)))
	mux.Handle("POST /orders", auth.RequireBearer(audience, signin.HasScope("write:orders"))(http.HandlerFunc(placeOrder)))
	return mux
}

// reply is what the API answers. Refusals are those of RequireBearer, problem
// documents, of which a page can show the detail.
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
	// Behind RequireBearer there always is a user. An access token says who they
	// are and what they may, but neither name nor e-mail address.
	user, _ := signin.UserFrom(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply{Subject: user.Subject, Scopes: user.Scopes, Done: done}) // or nobody is there any more
}

// StartAPI starts the API at a free port, sets APIURL, and returns what ends it.
// In earnest it is a program of its own, perhaps of other people: it shares nothing
// with the application but the provider.
func (s *Settings) StartAPI(application signin.Config) (end func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.APIURL = "http://" + listener.Addr().String()
	auth, err := signin.New(signin.Config{
		LogtoEndpoint: application.LogtoEndpoint,
		// Nobody signs in here, so the next four are there only because New asks for
		// them. Any application of the provider's will do.
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
	// If it fails there is no answer, and that is what the page then says.
	go func() { ended <- Serve(ctx, listener, API(auth, s.APIResource)) }()
	return func() {
		cancel()
		<-ended
		listener.Close() // for an end that came before the server had it
	}, nil
}

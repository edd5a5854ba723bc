package app

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/gosignin/signin"
)

// Orders is behind RequireAuth. It shows what the API answers: a GET lists orders
// there, and a POST places one.
func Orders(auth *signin.Auth, s *Settings) http.HandlerFunc {
	api := apiClient(s)
	return func(w http.ResponseWriter, r *http.Request) {
		page := struct {
			view
			URL    string     // of the API; empty if there is none
			Answer *apiAnswer // nil if it does not answer as it should
		}{view: viewOf(r, "orders.title"), URL: s.APIURL}
		status := http.StatusOK
		if api != nil {
			var err error
			page.Answer, err = askAPI(r, api, s.APIURL+"/orders")
			// There may be no token: the session has ended, or the provider is down.
			if auth.HandleError(w, r, err) {
				return
			}
			if err != nil {
				slog.Warn("the API does not answer as it should", "error", err)
				status = http.StatusBadGateway
			}
		}
		render(w, status, "orders", page)
	}
}

// apiAnswer is what the API has answered.
type apiAnswer struct {
	Request   string // such as "GET http://127.0.0.1:4321/orders"
	Status    string // such as "200 OK"
	OK        bool
	Challenge string // tells a program what the API wants instead (RFC 6750)
	reply
}

// apiClient returns a client for the API, or nil if there is no API. One client
// serves all users: each request is sent with the token of the user in its context.
func apiClient(s *Settings) *http.Client {
	if s.APIURL == "" {
		return nil
	}
	// The token is made for APIResource, which is a name. APIURL is the one origin
	// to which it is sent: it comes from the settings, and never from a request.
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: signin.Transport(s.APIURL, signin.ForResource(s.APIResource)),
	}
}

// askAPI sends the API a request with the method of r.
func askAPI(r *http.Request, api *http.Client, address string) (*apiAnswer, error) {
	method := http.MethodGet // also for HEAD, which ServeMux sends to handlers for GET
	if r.Method == http.MethodPost {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(r.Context(), method, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := api.Do(request)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &apiAnswer{
		Request: request.Method + " " + request.URL.String(), Status: resp.Status,
		OK: resp.StatusCode < 300, Challenge: resp.Header.Get("WWW-Authenticate"),
	}
	// An API may belong to another company: do not read without a limit.
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&a.reply); err != nil {
		return nil, err
	}
	return a, nil
}

package app

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gosignin/signin"
)

// Orders is behind RequireAuth. It shows what the API answers: a GET lists orders
// there, and a POST places one.
func Orders(s *Settings) http.Handler {
	api := apiClient(s)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := struct {
			view
			URL, Resource string // of the API; Resource is empty if there is no API
			Answer        apiAnswer
			Problem       string // why there is no Answer
		}{view: viewOf(r, "Your orders"), URL: s.APIURL, Resource: s.APIResource}
		status := http.StatusOK
		if api != nil {
			var err error
			if page.Answer, err = askAPI(r, api, s.APIURL+"/orders"); err != nil {
				status, page.Problem = explain(err)
			}
		}
		render(w, status, "orders", page)
	})
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
func askAPI(r *http.Request, api *http.Client, address string) (a apiAnswer, err error) {
	method := http.MethodGet // also for HEAD, which ServeMux sends to handlers for GET
	if r.Method == http.MethodPost {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(r.Context(), method, address, nil)
	if err != nil {
		return a, err
	}
	resp, err := api.Do(request)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.Request, a.Status = request.Method+" "+request.URL.String(), resp.Status
	a.OK, a.Challenge = resp.StatusCode < 300, resp.Header.Get("WWW-Authenticate")
	// An API may belong to another company: do not read without a limit.
	err = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&a.reply)
	return a, err
}

// explain returns the status and the text of a page about a failed call that needs
// the person's token. Errors of package signin have a sentence for people.
func explain(err error) (status int, sentence string) {
	slog.Warn("call failed", "error", err)
	var e *signin.Error
	if errors.As(err, &e) {
		return e.Status, e.Message
	}
	return http.StatusBadGateway, "The API does not answer as it should. Please try again in a moment."
}

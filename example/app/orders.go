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
			URL, Resource string // of the API; no Resource if there is none
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
	Challenge string // what would help, for programs (RFC 6750)
	reply
}

// apiClient returns a client for the API, nil if none was started. One is enough for
// everybody: each request goes out with a token of the person in its context.
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

// askAPI asks the API for what the application was asked for.
func askAPI(r *http.Request, api *http.Client, address string) (a apiAnswer, err error) {
	method := http.MethodGet // for HEAD too, which ServeMux takes for GET
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
	// Many APIs are other people's: do not read without an end.
	err = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&a.reply)
	return a, err
}

// explain is for a call that needs a token of the person's: which status its page
// has, and what the page says. Errors of package signin have a sentence for people.
func explain(err error) (status int, sentence string) {
	slog.Warn("call failed", "error", err)
	var e *signin.Error
	if errors.As(err, &e) {
		return e.Status, e.Message
	}
	return http.StatusBadGateway, "The API does not answer as it should. Please try again in a moment."
}

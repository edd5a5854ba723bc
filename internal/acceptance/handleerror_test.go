package acceptance_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/signintest"
)

// A rule asked in a handler wants a step-up, and the guard around it has wanted
// another: one step-up must meet both. Providers may state class and time of an
// authentication only if they are asked for both, and then send people from one to
// the other without end.
func TestHandleError_StepUpBelowAStepUpGuard(t *testing.T) {
	t.Parallel()
	auth := newApp(t, with{}).auth
	fresh := signin.AuthenticatedWithin(time.Minute)
	handler := auth.Require(signin.ACR("mfa"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := signin.UserFrom(r.Context())
		if err := fresh.Check(r, user); auth.HandleError(w, r, err) {
			return
		}
		t.Error("the handler went on")
	}))
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/delete", nil)
	r.Header.Set("Accept", "text/html")
	handler.ServeHTTP(w, signintest.WithUser(r, &signin.User{Subject: "alice", ACR: "mfa"}))
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if q := to.Query(); w.Code != http.StatusSeeOther || q.Get("acr_values") != "mfa" || q.Get("max_age") != "60" {
		t.Errorf("got %d to %s; want 303 to a step-up with acr_values=mfa and max_age=60", w.Code, to)
	}
}

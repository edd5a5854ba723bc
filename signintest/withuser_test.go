package signintest_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/internal/planted"
	"github.com/gosignin/signin/signintest"
)

func TestWithUserPlantsACopy(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/account", nil)
	user := &signin.User{Subject: "s", Roles: []string{"admin"}}
	got := signintest.WithUser(r, user)
	user.Subject, user.Roles[0] = "changed", "changed"

	v := planted.From(got.Context())
	if v == nil {
		t.Fatal("got nothing planted")
	}
	u, ok := v.User.(*signin.User)
	if !ok || u.Subject != "s" || u.Roles[0] != "admin" {
		t.Errorf("got %+v; want the user as given", u)
	}
	if planted.From(r.Context()) != nil {
		t.Error("got the given request changed; want a copy")
	}
}

func TestWithUserOfNilIsNobody(t *testing.T) {
	t.Parallel()
	v := planted.From(signintest.WithUser(httptest.NewRequest("GET", "/", nil), nil).Context())
	if v == nil || v.User != nil {
		t.Errorf("got %v; want a value without a user", v)
	}
}

func TestWithUserPanicsInARunningProgram(t *testing.T) {
	t.Parallel()
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, "test binary only") {
			t.Errorf("got panic %q; want one that says why", got)
		}
	}()
	signintest.PlantOutsideTests(httptest.NewRequest("GET", "/", nil), &signin.User{Subject: "s"})
}

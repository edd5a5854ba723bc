package callback_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/authflow"
	"github.com/gosignin/signin/internal/cookie"
	"github.com/gosignin/signin/internal/returnto"
)

// The cookies and the redirect of a callback's answer pass proxies with default settings,
// or the log says which setting they need.
func TestConclude_AnswerFitsProxies(t *testing.T) {
	for _, b := range []browser{"", "signin=x", "signin=x; signin.2=y"} {
		for _, target := range []int{0, 300, 1900} { // 0 leads home
			bubble(t, fmt.Sprintf("F1.1 cookies %q, return_to of %d bytes", b, target), func(t *testing.T, w *world) {
				w.Home = "/" + strings.Repeat("h", 150)
				w.members["access_token"] = strings.Repeat("a", 1500)
				largest := 0
				for claims := 0; !strings.Contains(w.log.String(), "proxy_buffer_size"); claims += 20 {
					w.claims["x"] = strings.Repeat("x", claims)
					tx := transaction(func(tx *authflow.Transaction) {
						tx.State = fmt.Sprint("STATE", claims)
						tx.ReturnTo = strings.Repeat("/", min(1, target)) + strings.Repeat("r", max(0, target-1))
					})
					rec := httptest.NewRecorder()
					out, err := w.Conclude(rec, b.request(), tx, &authflow.Response{State: tx.State, Code: "the-code"})
					noError(t, err)
					if out.ReturnTo == "" {
						out.ReturnTo = w.Home
					}
					returnto.Location(rec, out.ReturnTo, http.StatusSeeOther)
					if size := cookie.AnswerSize(rec.Header(), ""); !strings.Contains(w.log.String(), "proxy_buffer_size") {
						largest = max(largest, size)
					}
				}
				if largest >= cookie.Budget || largest < cookie.Budget-100 {
					t.Errorf("the largest answer: got %d bytes; want somewhat less than %d", largest, cookie.Budget)
				}
			})
		}
	}
}

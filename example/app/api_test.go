package app

import (
	"encoding/json"
	"net/http"
	"testing"
)

func TestAPI_Tokens(t *testing.T) {
	t.Parallel()
	a := application(t, ordersAPI)
	bearer := func(audience string, scopes ...string) string {
		return "Bearer " + a.provider.AccessToken("alice0000001", audience, scopes...)
	}
	for _, row := range []struct {
		name, method, authorization string
		status                      int
		challenge                   string
		done                        string // what the API says it has done
	}{
		{"no token", "GET", "", 401, `Bearer realm=""`, ""},
		{"text that is not a token", "GET", "Bearer x", 401, `Bearer error="invalid_token"`, ""},
		{"a token for another API", "GET", bearer("https://other.example.com", "read:orders"), 401, `Bearer error="invalid_token"`, ""},
		{"a token without a scope", "GET", bearer(ordersAPI), 403, `Bearer error="insufficient_scope", scope="read:orders"`, ""},
		{"a token with only the other scope", "POST", bearer(ordersAPI, "read:orders"), 403,
			`Bearer error="insufficient_scope", scope="write:orders"`, ""},
		{"a machine's token", "GET", "Bearer " + a.provider.MachineToken("cron", ordersAPI, "read:orders"), 403, "", ""},
		{"a token with the scope to read", "GET", bearer(ordersAPI, "read:orders"), 200, "", "Two orders: tea, biscuits."},
		{"a token with the scope to write", "POST", bearer(ordersAPI, "write:orders"), 201, "", "One more order: tea. (It only says so.)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), row.method, a.settings.APIURL+"/orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			if row.authorization != "" {
				r.Header.Set("Authorization", row.authorization)
			}
			resp, err := a.provider.NewClient().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var got reply
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Fatalf("got %d and %v; want JSON", resp.StatusCode, err)
			}
			if c := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != row.status ||
				c != row.challenge || got.Done != row.done {
				t.Errorf("got %d, %q and %q; want %d, %q and %q", resp.StatusCode, c, got.Done, row.status, row.challenge, row.done)
			}
			if seen := got.Subject == "alice0000001"; seen != (row.done != "") || seen == (got.Detail != "") {
				t.Errorf("got subject %q and detail %q; want one of them", got.Subject, got.Detail)
			}
		})
	}
}

package authflow

import (
	"net/url"
	"strings"

	"github.com/gosignin/signin/internal/returnto"
)

// maxTarget is how long the page to come back to may be in the address of a sign-in.
const maxTarget = 2500

// Link returns the address of the ordinary route, which starts a sign-in, or a step-up
// that asks for what is demanded, and comes back to target, without its query if that is
// too long. A target that is not a page of this application is left out.
func (c *Client) Link(target string, asked Demand) string {
	q := url.Values{}
	asked.Set(q)
	query := q.Encode()
	if _, err := c.ReturnTo.Path(target); err == nil && target != c.Home {
		escaped := url.QueryEscape(target)
		if len(escaped) > maxTarget {
			escaped = url.QueryEscape(returnto.WithoutQuery(target))
		}
		if len(escaped) <= maxTarget {
			query = strings.TrimPrefix(query+"&return_to="+escaped, "&")
		}
	}
	if query == "" {
		return c.Route
	}
	return c.Route + "?" + query
}

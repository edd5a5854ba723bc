package provider

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"

	"github.com/gosignin/signin/internal/document"
)

const opUserInfo = "userinfo"

const errUserInfoSubject = fault("sub is absent, or not the person expected")

// UserInfo fetches the claims about a person. subject is the sub of the
// person's verified ID token. An answer about another person is Rejected, since
// access tokens can be swapped
// (https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse). An
// answer that is not plain JSON is Rejected too: a signed one would have to be
// verified. The result is a JSON object whose member names are unique.
func (c *Client) UserInfo(ctx context.Context, accessToken, subject string) (json.RawMessage, error) {
	meta, err := c.Metadata(ctx)
	switch {
	case err != nil:
		return nil, err
	case meta.UserInfoEndpoint == "":
		return nil, misconfigured(opUserInfo, fault("the provider has no userinfo endpoint"))
	case accessToken == "" || !document.Printable(accessToken):
		return nil, rejected(opUserInfo, fault("the access token cannot be sent"))
	}
	got, err := c.do(ctx, opUserInfo, http.MethodGet, meta.UserInfoEndpoint, http.Header{"Authorization": {"Bearer " + accessToken}}, nil)
	if err == nil {
		err = checkUserInfo(got, subject)
	}
	if err != nil {
		return nil, err
	}
	return got.body, nil
}

// checkUserInfo decides whether an answer is about subject.
func checkUserInfo(a answer, subject string) error {
	if a.status != http.StatusOK {
		return &Error{Kind: Rejected, Op: opUserInfo, Status: a.status, Err: fault("the provider does not accept the access token")}
	}
	if mediaType, _, err := mime.ParseMediaType(a.mediaType); err != nil || mediaType != "application/json" {
		return rejected(opUserInfo, fault("the answer is not application/json"))
	}
	claims, err := document.Parse(a.body)
	if err != nil {
		return rejected(opUserInfo, err)
	}
	if sub, _ := claims.Text("sub"); sub == "" || sub != subject {
		return rejected(opUserInfo, errUserInfoSubject)
	}
	return nil
}

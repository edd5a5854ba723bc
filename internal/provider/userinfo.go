package provider

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/gosignin/signin/internal/document"
	"github.com/gosignin/signin/internal/jwt"
)

const opUserInfo = "userinfo"

const errUserInfoSubject = fault("sub is absent, or not the person expected")

// UserInfo fetches the claims about a person. subject is the sub of the
// person's verified ID token. An answer about another person is Rejected, since
// access tokens can be swapped
// (https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse). A signed
// answer, which is a JWT, is verified first. The result is a JSON object whose member
// names are unique.
func (c *Client) UserInfo(ctx context.Context, accessToken, subject string) (json.RawMessage, error) {
	meta, err := c.Metadata(ctx)
	switch {
	case err != nil:
		return nil, err
	case meta.UserInfoEndpoint == "":
		return nil, misconfigured(opUserInfo, fault("the provider has no userinfo_endpoint that can be used"))
	case accessToken == "" || !document.Printable(accessToken):
		return nil, rejected(opUserInfo, fault("the access token cannot be sent"))
	}
	got, err := c.do(ctx, opUserInfo, http.MethodGet, meta.UserInfoEndpoint, http.Header{"Authorization": {"Bearer " + accessToken}}, nil)
	if err != nil {
		return nil, err
	}
	return c.checkUserInfo(ctx, got, subject)
}

// checkUserInfo returns the claims of an answer if it is about subject.
func (c *Client) checkUserInfo(ctx context.Context, a answer, subject string) (json.RawMessage, error) {
	switch {
	case a.missing():
		return nil, &Error{Kind: Misconfigured, Op: opUserInfo, Status: a.status, Err: errMissing}
	case a.status != http.StatusOK:
		return nil, &Error{Kind: Rejected, Op: opUserInfo, Status: a.status, Err: fault("the provider does not accept the access token")}
	}
	info := a.body
	switch mediaType, _, err := mime.ParseMediaType(a.mediaType); {
	case err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")):
	case err == nil && mediaType == "application/jwt":
		verify := func() (_ []byte, err error) { return c.verifier.UserInfo(ctx, strings.TrimSpace(string(a.body))) }
		info, err = verify()
		if coolingDown(err) != nil {
			info, err = patiently(ctx, err, verify)
		}
		if err != nil {
			return nil, judged(opUserInfo, err)
		}
	default:
		return nil, rejected(opUserInfo, fault("the answer is "+document.Quote(a.mediaType)+"; needs application/json or application/jwt"))
	}
	claims, err := jwt.ParseUserInfo(info)
	if err != nil {
		return nil, rejected(opUserInfo, err)
	}
	if sub, _ := claims.Text("sub"); sub == "" || sub != subject {
		return nil, rejected(opUserInfo, errUserInfoSubject)
	}
	return info, nil
}

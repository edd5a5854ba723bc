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
// answer is verified as [jwt.Verifier.UserInfo] does, any other has to be plain JSON.
// The result is a JSON object whose member names are unique.
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
	got, err := c.do(ctx, opUserInfo, http.MethodGet, meta.UserInfoEndpoint, http.Header{
		"Authorization": {"Bearer " + accessToken}, "Accept": {"application/json, application/jwt;q=0.9"},
	}, nil)
	if err != nil {
		return nil, err
	}
	claims, body, err := c.readUserInfo(ctx, got)
	if err != nil {
		return nil, err
	}
	if sub, _ := claims.Text("sub"); sub == "" || sub != subject {
		return nil, rejected(opUserInfo, errUserInfoSubject)
	}
	return body, nil
}

// readUserInfo returns the claims of an answer, decoded and as JSON.
func (c *Client) readUserInfo(ctx context.Context, a answer) (document.Object, []byte, error) {
	switch {
	case a.missing():
		return nil, nil, &Error{Kind: Misconfigured, Op: opUserInfo, Status: a.status, Err: errMissing}
	case a.status != http.StatusOK:
		return nil, nil, &Error{Kind: Rejected, Op: opUserInfo, Status: a.status, Err: fault("the provider does not accept the access token")}
	}
	mediaType, _, err := mime.ParseMediaType(a.mediaType)
	if err == nil && mediaType == "application/jwt" {
		claims, payload, err := c.verifier.UserInfo(ctx, strings.TrimSpace(string(a.body)))
		return claims, payload, judged(opUserInfo, err)
	}
	if err != nil || mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json") {
		return nil, nil, rejected(opUserInfo, fault("the answer is "+document.Quote(a.mediaType)+"; needs application/json or application/jwt"))
	}
	claims, err := jwt.ParseUserInfo(a.body)
	if err != nil {
		return nil, nil, rejected(opUserInfo, err)
	}
	return claims, a.body, nil
}

package provider

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
)

const opUserInfo = "userinfo"

const (
	errNoUserInfo      = fault("the provider has no userinfo endpoint")
	errUserInfoToken   = fault("the access token cannot be sent")
	errUserInfoStatus  = fault("the provider does not accept the access token")
	errUserInfoType    = fault("the answer is not application/json")
	errUserInfoSubject = fault("sub is absent or of somebody else")
)

// UserInfo fetches the claims about a person. subject is the sub of the
// person's verified ID token: an answer about anybody else is Rejected, since
// access tokens can be swapped
// (https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse), and
// so is one in any form but plain JSON: a signed one would have to be verified.
// The result is a JSON object whose member names are unique.
func (c *Client) UserInfo(ctx context.Context, accessToken, subject string) (json.RawMessage, error) {
	meta, err := c.Metadata(ctx)
	switch {
	case err != nil:
		return nil, err
	case meta.UserInfoEndpoint == "":
		return nil, misconfigured(opUserInfo, errNoUserInfo)
	case accessToken == "" || !printable(accessToken):
		return nil, rejected(opUserInfo, errUserInfoToken)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, meta.UserInfoEndpoint, nil)
	if err != nil {
		return nil, misconfigured(opUserInfo, errEndpoint)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	req.Header.Set("Accept", "application/json")
	got, failure := c.do(opUserInfo, req)
	if failure == nil {
		failure = checkUserInfo(got, subject)
	}
	if failure != nil {
		return nil, failure
	}
	return got.body, nil
}

// checkUserInfo decides whether an answer is about subject.
func checkUserInfo(a answer, subject string) *Error {
	if err := trouble(opUserInfo, a); err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return &Error{Kind: Rejected, Op: opUserInfo, Status: a.status, Err: errUserInfoStatus}
	}
	if mediaType, _, err := mime.ParseMediaType(a.mediaType); err != nil || mediaType != "application/json" {
		return rejected(opUserInfo, errUserInfoType)
	}
	claims, err := parseObject(a.body)
	if err != nil {
		return &Error{Kind: Rejected, Op: opUserInfo, Err: err}
	}
	if sub, err := claims.text("sub"); err != nil || sub == "" || sub != subject {
		return rejected(opUserInfo, errUserInfoSubject)
	}
	return nil
}

package authflow

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// Logout tokens are small.
const (
	maxLogoutBody = 16 << 10
	maxMediaType  = 256
)

// LogoutToken reads the one parameter of a logout request:
// https://openid.net/specs/openid-connect-backchannel-1_0.html#BCRequest
func LogoutToken(w http.ResponseWriter, r *http.Request) (string, error) {
	media := r.Header.Get("Content-Type")
	if len(media) > maxMediaType {
		return "", errors.New("signin: a logout request has a Content-Type of more than 256 bytes")
	}
	if media, _, err := mime.ParseMediaType(media); err != nil || media != "application/x-www-form-urlencoded" {
		return "", errors.New("signin: a logout request is not a form")
	}
	form := r.PostForm // if a handler around this one has parsed it
	if form == nil {
		var err error
		if form, err = logoutForm(w, r); err != nil {
			return "", err
		}
	}
	if tokens := form["logout_token"]; len(tokens) == 1 {
		return tokens[0], nil
	}
	return "", errors.New("signin: a logout request has no logout token, or several")
}

// logoutForm parses the body of a logout request. It is tempting to call ParseForm,
// but that also parses the query, of any length.
func logoutForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLogoutBody))
	if err != nil {
		return nil, errors.New("signin: a logout request cannot be read")
	}
	if err := CheckQuery(string(body)); err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("signin: a logout request is not a form that can be read")
	}
	return form, nil
}

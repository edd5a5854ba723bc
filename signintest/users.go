package signintest

import (
	"maps"
	"slices"
	"strings"
)

// A User is an account at the provider. An empty attribute is JSON null in the ID
// token, as at Logto, not an absent claim. The zero value is not valid: Subject
// is required.
type User struct {
	Subject  string
	Username string
	Name     string
	Email    string // email_verified is true when there is one
	Phone    string // phone_number_verified is true when there is one
	Picture  string

	Roles             []string
	Organizations     []string
	OrganizationRoles []string // "<organization id>:<role>"

	// MFA means that the user has a second factor; see [WithMFARequired].
	MFA bool

	// Permissions are the scopes of access tokens by their audience: an API
	// resource, within an organization or not, or "urn:logto:organization:<id>" for
	// an organization's own token. A token has those that were among the scopes of
	// the authorization request, in this order.
	Permissions map[string][]string

	// Connector is how this user signs in, such as "social:naver"; empty for a
	// user of the sign-in page.
	Connector string

	// Claims are further claims, or replace those above. Some are only in userinfo,
	// and need a scope: custom_data, identities and sso_identities ("identities"),
	// organization_data ("urn:logto:scope:organizations"). An address needs its
	// scope, too. Everything else is in each ID token and in userinfo.
	Claims map[string]any
}

// Alice returns a user with roles, organizations, a phone, and permissions for
// the API "https://api.example.com" and in org_one, but without a second factor.
func Alice() User {
	return User{
		Subject:           "alice0000001",
		Username:          "alice",
		Name:              "Alice Example",
		Email:             "alice@example.test",
		Phone:             "15550000001",
		Picture:           "https://pictures.example.test/alice.png",
		Roles:             []string{"admin", "editor"},
		Organizations:     []string{"org_one", "org_two"},
		OrganizationRoles: []string{"org_one:owner", "org_two:member"},
		Permissions: map[string][]string{
			"https://api.example.com":        {"read:orders", "write:orders"},
			organizationAudience + "org_one": {"read:members", "invite:members"},
		},
	}
}

// Bob returns a user with a name and an e-mail address, and without roles.
func Bob() User {
	return User{
		Subject:  "bob000000001",
		Username: "bob",
		Name:     "Bob Example",
		Email:    "bob@example.test",
	}
}

// NaverUser returns a user as Naver describes one through Logto: an ID, a
// nickname, a picture and, if the person allowed it, an e-mail address.
func NaverUser() User {
	return User{
		Subject:   "naver0000001",
		Name:      "길동",
		Email:     "gildong@naver.example.test",
		Picture:   "https://pictures.example.test/gildong.png",
		Connector: "social:naver",
	}
}

// XUser returns a user as X describes one through Logto: an ID and a name,
// never a picture, and no e-mail address.
func XUser() User {
	return User{
		Subject:   "x00000000001",
		Name:      "Xavier Example",
		Connector: "social:x",
	}
}

func (u User) clone() User {
	u.Roles = slices.Clone(u.Roles)
	u.Organizations = slices.Clone(u.Organizations)
	u.OrganizationRoles = slices.Clone(u.OrganizationRoles)
	u.Permissions = maps.Clone(u.Permissions)
	for audience, scopes := range u.Permissions {
		u.Permissions[audience] = slices.Clone(scopes)
	}
	u.Claims = maps.Clone(u.Claims)
	return u
}

// SetUser adds an account, or replaces the one with the same Subject: the next
// ID token, also after a refresh, describes the new account. It panics if there
// is no Subject.
func (p *Provider) SetUser(u User) {
	if u.Subject == "" {
		panic("signintest: a User needs a Subject")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setUser(u.clone())
}

func (p *Provider) setUser(u User) {
	i := slices.IndexFunc(p.users, func(have User) bool { return have.Subject == u.Subject })
	if i < 0 {
		p.users = append(p.users, u)
		return
	}
	p.users[i] = u
}

// active returns the account with this subject, unless it is suspended. p.mu
// is held.
func (p *Provider) active(subject string) (User, bool) {
	for _, u := range p.users {
		if u.Subject == subject && !p.suspended[subject] {
			return u, true
		}
	}
	return User{}, false
}

// identified returns the account with a username, an e-mail address or a phone
// number that a user typed. p.mu is held.
func (p *Provider) identified(input string) (User, bool) {
	input = strings.TrimSpace(input)
	if input == "" {
		return User{}, false
	}
	for _, u := range p.users {
		if strings.EqualFold(input, u.Username) || strings.EqualFold(input, u.Email) || input == u.Phone {
			return u, true
		}
	}
	return User{}, false
}

// newUser makes the account of a user who signs up. p.mu is held.
func (p *Provider) newUser(name, email string) User {
	u := User{Subject: random()[:12], Name: name, Email: email} // Logto's subjects have twelve characters
	p.setUser(u)
	return u
}

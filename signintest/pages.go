package signintest

import (
	"bytes"
	"cmp"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// view is what a page shows. Its texts are in the reader's language.
type view struct {
	reader
	Title       string
	Message     string // a paragraph
	Problem     string // what was wrong with the input
	Interaction string
	Users       []User
	Name        string    // of a new user
	Hint        string    // login_hint, or what the person has typed in its place
	Brand       string    // organization_id
	Connector   connector // of a connector's page
	Connectors  []connector
	Accounts    []account // of the console
	Nonce       string
}

// connector is a way to sign in somewhere else. Look is a class of the style sheet.
type connector struct{ ID, Name, Look string }

func connectorOf(id string) connector {
	switch id {
	case "social:naver":
		return connector{id, "Naver", "naver"}
	case "social:x":
		return connector{id, "X", "x"}
	}
	_, name, _ := strings.Cut(id, ":")
	return connector{ID: id, Name: name}
}

// pages are what people see, with a browser.
func (p *Provider) pages() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /sign-in":              p.showSignIn,
		"GET /register":             p.showRegister,
		"GET /connect/{connector}":  p.showConnector,
		"POST /sign-in":             p.submitSignIn,
		"POST /register":            p.submitRegister,
		"POST /connect/{connector}": p.submitSignIn,
		"GET /console":              p.showConsole,
		"POST /console":             p.submitConsole,
	}
}

func (p *Provider) pageURL(path, interaction string) string {
	return p.URL + path + "?interaction=" + url.QueryEscape(interaction)
}

// open returns the interaction that a page belongs to. If that has ended, it shows
// a page that says so.
func (p *Provider) open(w http.ResponseWriter, r *http.Request) (*interaction, bool) {
	p.mu.Lock()
	in := p.interactions[r.URL.Query().Get("interaction")]
	p.mu.Unlock()
	if in == nil {
		showNotice(w, r, http.StatusBadRequest, "This sign-in is over",
			"It has been finished, or was never begun. Go back to the application and start again.")
		return nil, false
	}
	return in, true
}

func (p *Provider) view(r *http.Request, in *interaction, title string, args ...any) view {
	reads := readerOf(r, in.params.Get("ui_locales"))
	v := view{
		reader:      reads,
		Title:       reads.T(title, args...),
		Interaction: in.id,
		Hint:        in.params.Get("login_hint"),
		Brand:       in.params.Get("organization_id"),
	}
	for _, id := range p.settings.connectors {
		v.Connectors = append(v.Connectors, connectorOf(id))
	}
	return v
}

// usersOf returns the accounts that sign in through a connector, or on the
// sign-in page.
func (p *Provider) usersOf(connector string) []User {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []User
	for _, u := range p.users {
		if u.Connector == connector {
			out = append(out, u)
		}
	}
	return out
}

func (p *Provider) signInView(r *http.Request, in *interaction) view {
	v := p.view(r, in, "Sign in")
	v.Users = p.usersOf("")
	return v
}

func (p *Provider) showSignIn(w http.ResponseWriter, r *http.Request) {
	if in, ok := p.open(w, r); ok {
		render(w, http.StatusOK, "sign-in", p.signInView(r, in))
	}
}

func (p *Provider) showRegister(w http.ResponseWriter, r *http.Request) {
	if in, ok := p.open(w, r); ok {
		render(w, http.StatusOK, "register", p.view(r, in, "Create an account"))
	}
}

// showConnector shows the page of a connector's service, such as Naver or a company.
func (p *Provider) showConnector(w http.ResponseWriter, r *http.Request) {
	in, ok := p.open(w, r)
	if !ok {
		return
	}
	id := r.PathValue("connector")
	if !slices.Contains(p.settings.connectors, id) {
		http.Redirect(w, r, p.pageURL("/sign-in", in.id), http.StatusSeeOther)
		return
	}
	c := connectorOf(id)
	v := p.view(r, in, "Continue with %s", c.Name)
	v.Connector, v.Users = c, p.usersOf(id)
	render(w, http.StatusOK, "connector", v)
}

// submitSignIn takes "user", the subject of a button, or "identifier", which the
// user typed.
func (p *Provider) submitSignIn(w http.ResponseWriter, r *http.Request) {
	in, ok := p.open(w, r)
	if !ok {
		return
	}
	p.mu.Lock()
	subject := r.PostFormValue("user")
	if subject == "" {
		found, _ := p.identified(r.PostFormValue("identifier"))
		subject = found.Subject
	}
	u, ok := p.active(subject)
	suspended := p.suspended[subject]
	p.mu.Unlock()
	v := p.signInView(r, in)
	v.Hint = cmp.Or(r.PostFormValue("identifier"), v.Hint)
	switch {
	case suspended:
		v.Problem = v.T("This account is suspended.")
		render(w, http.StatusForbidden, "sign-in", v)
	case !ok:
		v.Problem = v.T("There is no such account.")
		render(w, http.StatusUnprocessableEntity, "sign-in", v)
	default:
		p.finish(w, r, in, u)
	}
}

// submitRegister takes "name" and "email" of a new user. "user", which
// [Provider.Visit] sends, signs in an existing account.
func (p *Provider) submitRegister(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("user") != "" {
		p.submitSignIn(w, r)
		return
	}
	in, ok := p.open(w, r)
	if !ok {
		return
	}
	name, email := strings.TrimSpace(r.PostFormValue("name")), strings.TrimSpace(r.PostFormValue("email"))
	v := p.view(r, in, "Create an account")
	v.Name, v.Hint = name, email
	p.mu.Lock()
	_, taken := p.identified(email)
	var u User
	if email != "" && !taken {
		u = p.newUser(name, email)
	}
	p.mu.Unlock()
	switch {
	case email == "":
		v.Problem = v.T("An e-mail address is needed.")
	case taken:
		v.Problem = v.T("There is an account with this e-mail address already.")
	default:
		p.finish(w, r, in, u)
		return
	}
	render(w, http.StatusUnprocessableEntity, "register", v)
}

// finish ends an interaction in which u has signed in.
func (p *Provider) finish(w http.ResponseWriter, r *http.Request, in *interaction, u User) {
	p.mu.Lock()
	delete(p.interactions, in.id)
	answer := p.codeFor(p.signedIn(w, p.sessionOf(r), u), in.params)
	p.mu.Unlock()
	p.respond(w, r, in.params, answer)
}

func showNotice(w http.ResponseWriter, r *http.Request, status int, title, message string) {
	reads := readerOf(r, "")
	render(w, status, "notice", view{reader: reads, Title: reads.T(title), Message: reads.T(message)})
}

func render(w http.ResponseWriter, status int, name string, v view) {
	v.Nonce = random()
	var page bytes.Buffer
	must(pages.ExecuteTemplate(&page, name, v))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// No form-action: browsers apply it to the redirects after the form, too,
	// and the last of them goes to the application.
	// https://www.w3.org/TR/CSP3/#directive-form-action
	h.Set("Content-Security-Policy",
		"default-src 'none'; img-src data:; style-src 'nonce-"+v.Nonce+"'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	w.Write(page.Bytes())
}

//go:embed pages.html
var source string

// pages are not changed once parsed.
var pages = template.Must(template.New("").Parse(source))

package signintest

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// view is what a page shows.
type view struct {
	Title       string
	Message     string // a paragraph
	Problem     string // what was wrong with the input
	Interaction string
	Users       []User
	Hint        string // login_hint
	Brand       string // organization_id
	Connector   string // of a connector's page
	Connectors  []connector
	Nonce       string
}

// connector is a way to sign in somewhere else.
type connector struct{ ID, Name string }

func connectorName(id string) string {
	switch id {
	case "social:naver":
		return "Naver"
	case "social:x":
		return "X"
	}
	_, name, _ := strings.Cut(id, ":")
	return name
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
		p.showNotice(w, http.StatusBadRequest, "This sign-in is over",
			"It has been finished, or was never begun. Go back to the application and start again.")
		return nil, false
	}
	return in, true
}

func (p *Provider) view(in *interaction, title string) view {
	v := view{
		Title:       title,
		Interaction: in.id,
		Hint:        in.params.Get("login_hint"),
		Brand:       in.params.Get("organization_id"),
	}
	for _, id := range p.settings.connectors {
		v.Connectors = append(v.Connectors, connector{id, connectorName(id)})
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

func (p *Provider) signInView(in *interaction, problem string) view {
	v := p.view(in, "Sign in")
	v.Users, v.Problem = p.usersOf(""), problem
	return v
}

func (p *Provider) showSignIn(w http.ResponseWriter, r *http.Request) {
	if in, ok := p.open(w, r); ok {
		render(w, http.StatusOK, "sign-in", p.signInView(in, ""))
	}
}

func (p *Provider) showRegister(w http.ResponseWriter, r *http.Request) {
	if in, ok := p.open(w, r); ok {
		render(w, http.StatusOK, "register", p.view(in, "Create an account"))
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
	v := p.view(in, "Continue with "+connectorName(id))
	v.Connector, v.Users = connectorName(id), p.usersOf(id)
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
	switch {
	case suspended:
		render(w, http.StatusForbidden, "sign-in", p.signInView(in, "This account is suspended."))
	case !ok:
		render(w, http.StatusUnprocessableEntity, "sign-in", p.signInView(in, "There is no such account."))
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
	v := p.view(in, "Create an account")
	p.mu.Lock()
	_, taken := p.identified(email)
	var u User
	if email != "" && !taken {
		u = p.newUser(name, email)
	}
	p.mu.Unlock()
	switch {
	case email == "":
		v.Problem = "An e-mail address is needed."
	case taken:
		v.Problem = "There is an account with this e-mail address already."
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

func (p *Provider) showNotice(w http.ResponseWriter, status int, title, message string) {
	render(w, status, "notice", view{Title: title, Message: message})
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
		"default-src 'none'; style-src 'nonce-"+v.Nonce+"'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	w.Write(page.Bytes())
}

// pages are not changed once parsed.
var pages = template.Must(template.New("").Parse(`
{{define "head"}}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Title}} · Test provider</title>
<style nonce="{{.Nonce}}">
:root { color-scheme: light dark; --text: #1c1b22; --dim: #5b5866; --line: #d9d6e3; --edge: #8a8698; --page: #f6f5fa; --card: #fff; --main: #5d34f2; --on: #fff; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
	:root { --text: #f1eff8; --dim: #aaa6b8; --line: #3b3847; --edge: #7d798d; --page: #131217; --card: #1d1b24; --main: #a897ff; --on: #17112e; --bad: #ffb4ab; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem; min-height: 100vh; display: grid; place-content: center; justify-items: center;
	font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); }
main { width: min(24rem, calc(100vw - 2rem)); padding: 2rem 1.5rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.2; }
p { margin: 0 0 1rem; color: var(--dim); }
.test { margin: 0 0 1rem; font-size: .875rem; text-align: center; text-wrap: balance; }
.problem { color: var(--bad); }
form { display: grid; gap: .5rem; margin: 0; }
label { font-size: .875rem; font-weight: 600; }
label ~ label { margin-top: .5rem; }
input, button, .button { width: 100%; min-height: 3rem; padding: .625rem .875rem; font: inherit; color: inherit;
	background: transparent; border: 1px solid var(--edge); border-radius: .625rem; overflow-wrap: anywhere; }
button, .button { display: block; text-align: left; text-decoration: none; cursor: pointer; }
button:hover, .button:hover { border-color: var(--main); }
.main { margin-top: .5rem; text-align: center; font-weight: 600; color: var(--on); background: var(--main); border-color: var(--main); }
small { display: block; color: var(--dim); }
hr { margin: 1.25rem 0; border: 0; border-top: 1px solid var(--line); }
.stack { display: grid; gap: .5rem; }
a { color: var(--main); } .button { color: inherit; }
:focus-visible { outline: 2px solid var(--main); outline-offset: 2px; }
</style>
</head>
<body>
<p class="test">This is a test provider. No password, no real accounts.</p>
<main>
<h1>{{.Title}}</h1>
{{with .Brand}}<p>for organization {{.}}</p>{{end}}
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}
{{with .Message}}<p>{{.}}</p>{{end}}
{{end}}

{{define "foot"}}</main>
</body>
</html>
{{end}}

{{define "users"}}{{range .Users}}
<button name="user" value="{{.Subject}}">{{or .Name .Username .Subject}}<small>{{or .Email .Username .Subject}}</small></button>{{end}}{{end}}

{{define "sign-in"}}{{template "head" .}}
<form method="post" action="/sign-in?interaction={{.Interaction}}">
<label for="identifier">Username, e-mail or phone</label>
<input id="identifier" name="identifier" value="{{.Hint}}" autocomplete="username" autocapitalize="none" spellcheck="false" required>
<button class="main">Continue</button>
</form>
<hr>
<form method="post" action="/sign-in?interaction={{.Interaction}}">{{template "users" .}}
</form>
<hr>
<div class="stack">{{$in := .Interaction}}{{range .Connectors}}
<a class="button" href="/connect/{{.ID}}?interaction={{$in}}">Continue with {{.Name}}</a>{{end}}
</div>
<hr>
<a href="/register?interaction={{.Interaction}}">Create an account</a>
{{template "foot"}}{{end}}

{{define "register"}}{{template "head" .}}
<form method="post" action="/register?interaction={{.Interaction}}">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="name">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" value="{{.Hint}}" autocomplete="email" required>
<button class="main">Create account</button>
</form>
<hr>
<a href="/sign-in?interaction={{.Interaction}}">I have an account</a>
{{template "foot"}}{{end}}

{{define "connector"}}{{template "head" .}}
<p>{{.Connector}} would ask whether to share your account. {{if .Users}}Here, choose one.{{else}}No test user signs in this way.{{end}}</p>
<form method="post">{{$connector := .Connector}}{{range .Users}}
<button name="user" value="{{.Subject}}">{{$connector}}: continue as {{or .Name .Username .Subject}}<small>{{or .Email .Subject}}</small></button>{{end}}
</form>
<hr>
<a href="/sign-in?interaction={{.Interaction}}">Cancel</a>
{{template "foot"}}{{end}}

{{define "notice"}}{{template "head" .}}{{template "foot"}}{{end}}
`))

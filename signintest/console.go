package signintest

import (
	"net/http"
	"slices"
)

// account is a user on the page of the console.
type account struct {
	User
	Suspended bool
}

// showConsole shows what Logto's console can do to an account, to people who try an
// application with a browser. Tests call Suspend and its like.
func (p *Provider) showConsole(w http.ResponseWriter, r *http.Request) {
	reads := readerOf(r, "")
	v := view{reader: reads, Title: reads.T("Accounts")}
	p.mu.Lock()
	for _, u := range p.users {
		v.Accounts = append(v.Accounts, account{u, p.suspended[u.Subject]})
	}
	p.mu.Unlock()
	render(w, http.StatusOK, "console", v)
}

// submitConsole takes the subject of an account in "user", and "do". Forms of other sites
// are refused.
func (p *Provider) submitConsole(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	subject := r.PostFormValue("user")
	p.mu.Lock()
	known := slices.ContainsFunc(p.users, func(u User) bool { return u.Subject == subject })
	p.mu.Unlock()
	switch do := r.PostFormValue("do"); {
	case !known:
		showNotice(w, r, http.StatusBadRequest, "Accounts", "There is no such account.")
		return
	case do == "suspend":
		p.Suspend(subject)
	case do == "reinstate":
		p.Reinstate(subject)
	case do == "reset":
		p.ResetPassword(subject)
	}
	http.Redirect(w, r, "/console", http.StatusSeeOther)
}

package app

import (
	"net/http"
	"strings"

	"github.com/gosignin/signin"
)

// Member and Owner are rules about the organization that the path of the request
// names.
var (
	Member = signin.MemberOfFunc(organizationInPath)
	Owner  = signin.HasOrganizationRoleFunc(organizationInPath, "owner")
)

// organizationInPath returns "" on routes that have no {organization}. Guards
// with these rules answer 500 there, and the log says why.
func organizationInPath(r *http.Request) string { return r.PathValue("organization") }

// Organizations is behind RequireAuth. It lists the organizations of the user.
func Organizations(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "organizations", viewOf(r, "Your organizations"))
}

// organizationPage is the data of a page about one organization.
type organizationPage struct {
	view
	Organization string
	Roles        []string // the person's roles in it
	Permissions  []string // the scopes of the organization's token
	Problem      string   // why there is no token
}

func organizationOf(r *http.Request) organizationPage {
	id := organizationInPath(r)
	page := organizationPage{view: viewOf(r, id), Organization: id}
	for _, role := range page.User.OrganizationRoles {
		if name, ok := strings.CutPrefix(role, id+":"); ok {
			page.Roles = append(page.Roles, name)
		}
	}
	return page
}

// Organization is behind the rule Member. It gets a token that an API of the
// organization would accept, and only shows what that token permits.
func Organization(w http.ResponseWriter, r *http.Request) {
	page, status := organizationOf(r), http.StatusOK
	token, err := signin.AccessToken(r.Context(), signin.ForOrganization(page.Organization))
	if err != nil {
		status, page.Problem = explain(err)
	} else if scope, ok := token.Extra("scope").(string); ok {
		page.Permissions = strings.Fields(scope)
	}
	render(w, status, "organization", page)
}

// OrganizationSettings is behind the rule Owner.
func OrganizationSettings(w http.ResponseWriter, r *http.Request) {
	render(w, http.StatusOK, "organization-settings", organizationOf(r))
}

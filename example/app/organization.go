package app

import (
	"log/slog"
	"net/http"
	"slices"
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

// organization is one that the user belongs to, as in the claim organization_data.
type organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// organizationsOf returns the user's organizations. Their names are in no ID token, so
// each call asks the provider. Without an answer, or a name, they are numbered.
func organizationsOf(r *http.Request, v view) []organization {
	info, err := signin.FetchUserInfo[struct {
		Organizations []organization `json:"organization_data"`
	}](r.Context())
	if err != nil {
		slog.Warn("names of organizations are not known", "error", err)
	}
	var all []organization
	for i, id := range v.User.Organizations {
		one := organization{ID: id}
		if named := slices.IndexFunc(info.Organizations, func(o organization) bool { return o.ID == id }); named >= 0 {
			one.Name = info.Organizations[named].Name
		}
		if one.Name == "" {
			one.Name, _ = v.T("organization.unnamed", i+1)
		}
		all = append(all, one)
	}
	return all
}

// Organizations is behind RequireAuth. It lists the organizations of the user.
func Organizations(w http.ResponseWriter, r *http.Request) {
	page := struct {
		view
		Organizations []organization
	}{view: viewOf(r, "organizations.title")}
	page.Organizations = organizationsOf(r, page.view)
	render(w, http.StatusOK, "organizations", page)
}

// organizationPage is the data of a page about one organization.
type organizationPage struct {
	view
	Organization organization
	Roles        []string // the person's roles in it
	Permissions  []string // the scopes of the organization's token
}

// organizationOf is for requests that a guard with Member or Owner has let in.
func organizationOf(r *http.Request) organizationPage {
	page := organizationPage{view: viewOf(r, "organizations.title")}
	for _, one := range organizationsOf(r, page.view) {
		if one.ID == organizationInPath(r) {
			page.Organization = one
		}
	}
	for _, role := range page.User.OrganizationRoles {
		if name, ok := strings.CutPrefix(role, page.Organization.ID+":"); ok {
			page.Roles = append(page.Roles, name)
		}
	}
	return page
}

// Organization is behind the rule Member. It gets a token that an API of the
// organization would accept, and only shows what that token permits.
func Organization(auth *signin.Auth) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := signin.AccessToken(r.Context(), signin.ForOrganization(organizationInPath(r)))
		if err != nil {
			auth.HandleError(w, r, err) // AccessToken has no errors but those of package signin
			return
		}
		page := organizationOf(r)
		page.Title = page.Organization.Name
		if scope, ok := token.Extra("scope").(string); ok {
			page.Permissions = strings.Fields(scope)
		}
		render(w, http.StatusOK, "organization", page)
	}
}

// OrganizationSettings is behind the rule Owner.
func OrganizationSettings(w http.ResponseWriter, r *http.Request) {
	page := organizationOf(r)
	page.Title, _ = page.T("settings.title", page.Organization.Name)
	render(w, http.StatusOK, "organization-settings", page)
}

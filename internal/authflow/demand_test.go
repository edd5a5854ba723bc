package authflow_test

import (
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/gosignin/signin/internal/authflow"
)

type demand = authflow.Demand

func TestDemand_And(t *testing.T) {
	t.Parallel()
	minute, hour := demand{MaxAge: time.Minute, MaxAgeAsked: true}, demand{MaxAge: time.Hour, MaxAgeAsked: true}
	for _, row := range []struct {
		name       string
		a, b, want demand
		impossible bool
	}{
		{"nothing and nothing", demand{}, demand{}, demand{}, false},
		{"nothing and an age", demand{}, minute, minute, false},
		{"an age and nothing", minute, demand{}, minute, false},
		{"the shorter of two ages", hour, minute, minute, false},
		{"the shorter of two ages, first", minute, hour, minute, false},
		{"no time at all is shorter", minute, demand{MaxAgeAsked: true}, demand{MaxAgeAsked: true}, false},
		{"an age and a class", minute, demand{ACR: []string{"mfa"}}, demand{MaxAge: time.Minute, MaxAgeAsked: true, ACR: []string{"mfa"}}, false},
		{"the classes that both have, in the first one's order", demand{ACR: []string{"a", "b", "c"}}, demand{ACR: []string{"c", "a"}}, demand{ACR: []string{"a", "c"}}, false},
		{"no class in common", demand{ACR: []string{"a"}}, demand{ACR: []string{"b"}}, demand{}, true},
	} {
		before := reflect.ValueOf(row.a).Interface()
		got, possible := row.a.And(row.b)
		if possible == row.impossible || possible && !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %+v, %t; want %+v, %t", row.name, got, possible, row.want, !row.impossible)
		}
		if !reflect.DeepEqual(row.a, before) {
			t.Errorf("%s: got the first changed to %+v; want %+v", row.name, row.a, before)
		}
	}
}

func TestDemand_Or(t *testing.T) {
	t.Parallel()
	minute, hour := demand{MaxAge: time.Minute, MaxAgeAsked: true}, demand{MaxAge: time.Hour, MaxAgeAsked: true}
	for _, row := range []struct {
		name       string
		a, b, want demand
	}{
		{"nothing and an age", demand{}, minute, demand{}},
		{"an age and nothing", minute, demand{}, demand{}},
		{"the longer of two ages", hour, minute, hour},
		{"the longer of two ages, second", minute, hour, hour},
		{"an age and a class", minute, demand{ACR: []string{"mfa"}}, demand{}},
		{"an age and a class, and the age alone", minute, demand{MaxAge: time.Second, MaxAgeAsked: true, ACR: []string{"mfa"}}, minute},
		{"all classes, the first one's first", demand{ACR: []string{"b", "a"}}, demand{ACR: []string{"a", "c"}}, demand{ACR: []string{"b", "a", "c"}}},
		{"classes and none", demand{ACR: []string{"b"}}, demand{}, demand{}},
	} {
		if got := row.a.Or(row.b); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %+v; want %+v", row.name, got, row.want)
		}
	}
}

func TestDemand_Set(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		demand demand
		want   string
	}{
		{demand{}, ""},
		{demand{MaxAge: time.Hour}, ""}, // not asked for
		{demand{MaxAgeAsked: true}, "max_age=0"},
		{demand{MaxAge: time.Minute, MaxAgeAsked: true, ACR: []string{"mfa", "hw"}}, "acr_values=mfa+hw&max_age=60"},
		{demand{MaxAge: 200 * 365 * 24 * time.Hour, MaxAgeAsked: true}, "max_age=2147483647"},
	} {
		q := url.Values{}
		row.demand.Set(q)
		if got := q.Encode(); got != row.want {
			t.Errorf("%+v: got %q; want %q", row.demand, got, row.want)
		}
	}
}

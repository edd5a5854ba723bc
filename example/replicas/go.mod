module github.com/gosignin/signin/example/replicas

go 1.26.0

// All modules are released together, under one version number; in a checkout
// the ones next to this module are used.
replace (
	github.com/gosignin/signin => ../..
	github.com/gosignin/signin/redisstore => ../../redisstore
)

require (
	github.com/gosignin/signin v0.1.0
	github.com/gosignin/signin/redisstore v0.1.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/coreos/go-oidc/v3 v3.21.0 // indirect
	github.com/go-jose/go-jose/v4 v4.1.8 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/gorilla/sessions v1.4.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)

// Package interop drives package signin against providers, routers and a
// browser that nobody of this project wrote. A relying party and a test
// provider from the same hand agree about the same misreading of a
// specification; these do not.
//
// It is a module of its own, so that nothing of it reaches the dependency graph
// of an application that signs people in.
//
// # What takes part
//
//   - github.com/luikyv/go-oidc, a certified provider in Go, in this process;
//   - oidc-provider, the certified provider in JavaScript that Logto is built
//     on, in a process of its own under Node;
//   - chi, gorilla/mux and net/http's ServeMux;
//   - a Redis server, with this project's redisstore and with boj/redistore, and
//     replicas of an application in processes of their own;
//   - Chromium, headless, through the DevTools protocol.
//
// The browser also clicks through the programs in example/ and example/replicas,
// built and started as after a fresh clone.
//
// Applications listen on 127.0.0.1 and providers on localhost: to a browser
// these are two sites, as an application and its provider are in earnest, so
// that SameSite and Sec-Fetch-Site have something to say.
//
// # Running it
//
// It needs Node 20 or newer with npm, and Debian's Chromium and Redis:
//
//	apt-get install chromium redis-server
//	cd internal/interop
//	npm ci
//	go test ./...
//
// The program in soak/ runs for as long as it is told: hundreds of people, several
// replicas, and everything failing in turns. See its own documentation.
//
// SIGNIN_SCREENSHOTS names a directory that receives pictures of what the
// browser tests saw. A missing tool fails the tests that need it. It is
// tempting to skip them instead; then a machine without the tool reports
// success about something nobody has tried.
package interop

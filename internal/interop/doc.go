// Package interop tests package signin with providers, routers, stores and a
// browser from outside this project. An application and a provider by the same
// author may share a misreading of a specification; these do not.
//
// It is a separate module, so that its dependencies stay out of applications.
//
// # What takes part
//
//   - github.com/luikyv/go-oidc, a certified provider in Go, in this process;
//   - oidc-provider, the certified provider in JavaScript that Logto is built
//     on, in a process of Node;
//   - chi, gorilla/mux, echo, gin and net/http's ServeMux;
//   - github.com/coder/websocket;
//   - a Redis server, with this project's redisstore and with boj/redistore;
//   - nginx, with the settings that it has by default;
//   - Chromium, headless, through the DevTools protocol, and in it axe-core, which
//     finds what keeps people from using a page.
//
// The browser also clicks through the programs in example/ and example/replicas,
// built and started as after a fresh clone. TestInABrowser_Pages goes to every page in
// every language by keyboard, without scripts.
//
// Applications listen on 127.0.0.1 and providers on localhost. To a browser
// these are two sites, as in production, so that SameSite and Sec-Fetch-Site
// matter.
//
// # Running it
//
// It needs Node 20 or newer with npm, and Debian's Chromium, nginx and Redis. Without
// the fonts, pictures of Korean and Thai pages show boxes:
//
//	apt-get install chromium nginx redis-server fonts-noto-cjk fonts-thai-tlwg
//	cd internal/interop
//	npm ci
//	go test ./...             # a few seconds
//	go test -tags long ./...  # the browser, all key algorithms, and the soak
//
// The program in soak/ runs for as long as it is told: hundreds of people,
// several replicas, and one fault after another. See its documentation.
//
// SIGNIN_SCREENSHOTS names a directory that receives pictures of what the
// browser tests saw. A missing tool fails the tests that need it. It is
// tempting to skip them instead, but then a machine without the tool would
// report success.
package interop

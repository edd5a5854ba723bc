package main

// table is what CONFORMANCE.md says, and what must hold for it to be said.
var table = []section{
	{"Basic", basic},
	{"Config", config},
	{"Refresh tokens", refreshTokens},
	{"RP-initiated logout", initiatedLogout},
	{"Back-channel logout", backChannel},
	{"Third-party-initiated login", thirdParty},
	{"Form post", formPost},
	{"FAPI 2.0", fapi},
	{"2. Authorization response", responses},
	{"3. Tokens", tokens},
	{"4. Refresh", refresh},
	{"5. Sessions and cookies", sessions},
	{"6. return_to", returnTo},
	{"7. Refusals", refusals},
	{"8. Signing out", signingOut},
	{"9. Provider trouble", trouble},
}

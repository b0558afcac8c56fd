// Package steadydebug shows what the breakers, retry budgets and pauses of a running program do: a page for people,
// JSON and text for programs.
//
//	mux.Handle("/debug/steadyhttp", steadydebug.Handler(transport))
//
// [Handler] takes any number of transports. The one of a client is client.Transport.(*steadyhttp.Transport). For each it
// shows the policy in force, and for each origin the state of the breaker, why and since when, the next probe, the last 16
// changes, the window, whether retries are suspended, the level of the retry budget, calls under way and waiting, and the
// pause; see [steadyhttp.OriginStatus]. Where processes share what they see it shows how many there are, the lag, and
// what advice is in force. The page refreshes itself, and needs nothing from elsewhere.
//
// Nothing runs and nothing is kept until somebody asks: each request takes one [steadyhttp.Transport.Origins] of each
// transport. A thousand origins make a page of half a megabyte, with actions of one, in some 100 ms; the page then asks less
// often, so that each of its readers costs a twentieth of a processor at most.
//
// # Formats
//
// The Accept header chooses between text/html, application/json and text/plain; who has no wish gets text. ?format=html,
// ?format=json and ?format=text choose, too. The JSON is
//
//	{
//		"time": "2026-01-02T15:04:05Z",
//		"transports": [{
//			"index": 0,
//			"policy": "MaxAttempts=4(default) …",
//			"fleet": {
//				"members": 200,
//				"lag_seconds": 0.002,
//				"alone": false,
//				"advice": [{"origin": "https://api.example.com:443", "phase": "down", "since": "2026-01-02T15:04:01Z"}]
//			},
//			"origins": [{
//				"origin": "https://api.example.com:443",
//				"calls": 3,
//				"waiting": 0,
//				"budget": 4.5,
//				"retries_suspended": true,
//				"breaker": {
//					"state": "open",
//					"isolated": false,
//					"shadow": false,
//					"reason": "failures",
//					"since": "2026-01-02T15:04:01Z",
//					"retry_at": "2026-01-02T15:04:06Z",
//					"requests": 0,
//					"failures": 0,
//					"changes": [{"at": "2026-01-02T15:04:01Z", "from": "closed", "to": "open", "reason": "failures"}]
//				},
//				"pause": {"state": "idle"}
//			}]
//		}]
//	}
//
// The policy of a nil transport is empty. Without a budget, or without breakers, theirs is null. "fleet" is absent without
// [steadyhttp.WithFleet]. Times, reasons and "until" of a pause are absent where there is none. More fields may come.
//
// # Actions
//
// With [Writable] the page trips, isolates and resets breakers, and so does a POST of a program:
//
//	curl -d action=isolate -d transport=0 -d origin=https://api.example.com:443 -d reason=maintenance URL
//
// action is trip, isolate or reset, transport an index, origin one that the page shows. reason may be left out; trip needs a
// duration, such as 90s. The response is a 303 that leads back to the page, or a 400 that names the value that is wrong.
//
// # Who may see it
//
// No userinfo, path, query, header, body or key of a pause is shown. Names of origins, the policy, and the reasons that
// people gave are. Serve it where your other debug pages are, and not to the public; with Writable behind a login, since
// whoever can send a POST can stop calls. A browser on the same machine can be led to a page on a loopback address under
// another host name (DNS rebinding), so check the Host header where that matters.
package steadydebug

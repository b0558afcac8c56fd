// Package steadyhttptest helps to test code that calls HTTP servers: what does it do when they fail?
//
// A script is a list of steps, one for each attempt. [Status] responds; a [Fault] such as [Reset] or [Hang] fails as
// networks do. A [Transport] plays the script without a network, so it takes no time. A [Server] plays it for real, on
// loopback or over an in-memory pipe. Both record every attempt and have assertions.
//
//	base := steadyhttptest.NewTransport(
//		steadyhttptest.Status(503).Header("Retry-After", "2"),
//		steadyhttptest.Reset,
//		steadyhttptest.Status(200).Body("hello"),
//	)
//	client := &http.Client{Transport: wrapped(base)}
//	// ... call it ...
//	base.AssertAttempts(t, 3)
//
// A Transport and the pipe servers work in a [testing/synctest] bubble, where waits take no time. Make them inside the
// bubble, and contexts too.
//
// [CheckRoundTripper] checks that a wrapper keeps the contract of [http.RoundTripper].
//
// This package is for tests: it depends on package testing. A program that injects faults, in staging for example, imports
// package [github.com/steadyhttp/steadyhttp/steadyhttptest/fault] instead. The steps and the [Injector] are defined there;
// the names here are aliases.
package steadyhttptest

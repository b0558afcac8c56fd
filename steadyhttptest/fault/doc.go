// Package fault makes an [http.Client] meet the faults of networks and servers: refused and reset connections, timeouts,
// error statuses, bodies that break off.
//
// It is made for programs. An [Injector] sits below the retries of a real client, in staging, and plays faults to a
// share of its requests. It is off until [Injector.Start].
//
//	injector := &fault.Injector{Base: http.DefaultTransport}
//	client := &http.Client{Transport: injector}
//	// ... later, by an admin handler or a flag:
//	err := injector.Start(fault.Injection{
//		Rate:  0.05,
//		Steps: []fault.Step{fault.Status(503), fault.Reset},
//	})
//
// The package does not depend on package testing. A test imports steadyhttptest, which has all names of this package and
// plays the same steps in order, from a script.
package fault

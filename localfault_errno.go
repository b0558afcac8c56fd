//go:build !windows

package steadyhttp

import "syscall"

// localFaults are those of socket(2), bind(2) and connect(2). EACCES and EPERM tell of a local firewall rule.
// EHOSTUNREACH is not among them: it is a router that says it, or a neighbour that does not answer.
var localFaults = faultTable{
	exhausted: []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE},
	unreachable: []error{
		syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT,
		syscall.EACCES, syscall.EPERM,
	},
}

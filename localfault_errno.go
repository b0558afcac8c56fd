//go:build !windows

package steadyhttp

import "syscall"

// exhausted: no file descriptor for a socket, or no port for it (socket(2), bind(2), connect(2)).
var exhausted = []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE}

// unreachable: no memory for a socket, no route or no interface, a protocol that this machine does not speak,
// and EACCES and EPERM, by which connect(2) tells of a local firewall rule. EHOSTUNREACH is not among them:
// it is a router that says it, or a neighbour that does not answer.
var unreachable = []error{
	syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT,
	syscall.EACCES, syscall.EPERM,
}

package steadyhttp

import "syscall"

// These are Windows' numbers of what localfault_errno.go names, by Microsoft's "Windows Sockets Error Codes" and
// "System Error Codes". They stand in a file for every system so that every system can test them.
var winsockFaults = faultTable{
	exhausted: []error{
		syscall.Errno(4),     // ERROR_TOO_MANY_OPEN_FILES
		syscall.Errno(10024), // WSAEMFILE: too many open sockets
		syscall.Errno(10048), // WSAEADDRINUSE: out of ports, "only one usage of each socket address is normally permitted"
		syscall.Errno(10049), // WSAEADDRNOTAVAIL
		syscall.Errno(10067), // WSAEPROCLIM: too many processes
	},
	unreachable: []error{
		syscall.Errno(8),     // ERROR_NOT_ENOUGH_MEMORY, WSA_NOT_ENOUGH_MEMORY
		syscall.Errno(14),    // ERROR_OUTOFMEMORY
		syscall.Errno(1231),  // ERROR_NETWORK_UNREACHABLE
		syscall.Errno(1450),  // ERROR_NO_SYSTEM_RESOURCES
		syscall.Errno(10013), // WSAEACCES: forbidden by a firewall or by an excluded range of ports
		syscall.Errno(10047), // WSAEAFNOSUPPORT
		syscall.Errno(10050), // WSAENETDOWN
		syscall.Errno(10051), // WSAENETUNREACH
		syscall.Errno(10055), // WSAENOBUFS
		syscall.Errno(10091), // WSASYSNOTREADY
	},
}

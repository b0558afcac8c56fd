package steadyhttp

// The numbers of package syscall that have Unix names are invented on Windows (APPLICATION_ERROR and up), so no
// error of a socket ever equals one of them.
var localFaults = winsockFaults

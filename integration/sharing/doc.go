// Package sharing tests steadyfleet with many processes and a real Redis. The file run, one folder up, installs it.
package sharing

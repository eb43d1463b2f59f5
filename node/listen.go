package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"posthaste/config"
)

// listen opens every listener of the configuration, or none: all errors come at once, each with its
// cause and remedy. open is net.Listen where it is nil.
func listen(all []config.Listen, open func(network, address string) (net.Listener, error)) ([]net.Listener, error) {
	if open == nil {
		open = net.Listen
	}
	var listeners []net.Listener
	var errs []error
	for _, l := range all {
		ln, err := open("tcp", l.Address)
		if err != nil {
			errs = append(errs, listenError(l, err))
			continue
		}
		listeners = append(listeners, ln)
	}
	if len(errs) > 0 {
		for _, ln := range listeners {
			ln.Close()
		}
		return nil, errors.Join(errs...)
	}
	return listeners, nil
}

func listenError(l config.Listen, err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s on %s: not allowed to open a port below 1024: start as root with user set, or once run: setcap cap_net_bind_service=+ep %s, or under systemd set AmbientCapabilities=CAP_NET_BIND_SERVICE", l.Service, l.Address, executable())
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s on %s: the port is in use by %s: stop that, or choose another address", l.Service, l.Address, portOwner(l.Address))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s on %s: this machine does not have that address: ip address shows those it has", l.Service, l.Address)
	}
	return fmt.Errorf("%s on %s: %w", l.Service, l.Address, err)
}

func executable() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "posthaste"
}

// portOwner names the process that listens on the port of address, as far as the kernel tells us.
func portOwner(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "another process"
	}
	inodes := listenInodes(port)
	processes, err := os.ReadDir("/proc")
	if err != nil || len(inodes) == 0 {
		return "another process"
	}
	for _, p := range processes {
		if p.Name()[0] < '0' || p.Name()[0] > '9' {
			continue
		}
		fds, err := os.ReadDir("/proc/" + p.Name() + "/fd")
		if err != nil {
			continue // not ours to look at, or gone
		}
		for _, fd := range fds {
			target, _ := os.Readlink("/proc/" + p.Name() + "/fd/" + fd.Name())
			if inode, ok := strings.CutPrefix(target, "socket:["); ok && inodes[strings.TrimSuffix(inode, "]")] {
				name, _ := os.ReadFile("/proc/" + p.Name() + "/comm")
				return fmt.Sprintf("process %s (%s)", p.Name(), strings.TrimSpace(string(name)))
			}
		}
	}
	return "a process of another user"
}

// listenInodes returns the socket inodes that listen on a TCP port.
func listenInodes(port string) map[string]bool {
	const stateListen = "0A"
	var number int
	fmt.Sscanf(port, "%d", &number)
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == stateListen && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) {
				inodes[f[9]] = true
			}
		}
	}
	return inodes
}

package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"posthaste/config"
	"posthaste/wire"
)

// opened are the listeners of a configuration, in its order; nil where the section shares the one before
// the reload.
type opened []*wire.Handover

// open opens every listener of the configuration that is not among known, or none: all errors come at
// once, each with its cause and remedy. Those that are new have no server yet.
func (n *Node) open(all []config.Listen, known map[string]*wire.Handover) (opened, error) {
	listen := n.options.Listen
	if listen == nil {
		listen = net.Listen
	}
	list := make(opened, len(all))
	var errs []error
	for i, key := range listenKeys(all) {
		if known[key] != nil {
			continue
		}
		ln, err := listen("tcp", all[i].Address)
		if err != nil {
			errs = append(errs, listenError(all[i], err))
			continue
		}
		list[i] = wire.NewHandover(ln)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, list.close())...)
	}
	return list, nil
}

// close closes listeners that nobody serves.
func (o opened) close() error {
	var errs []error
	for _, h := range o {
		if h != nil {
			errs = append(errs, h.Retire())
		}
	}
	return errors.Join(errs...)
}

// listenKeys names the listeners of a configuration by their addresses, so that a reload finds them
// again. Those that let the system choose a port are told apart by their order.
func listenKeys(all []config.Listen) []string {
	keys, times := make([]string, len(all)), map[string]int{}
	for i, l := range all {
		keys[i] = fmt.Sprintf("%s #%d", l.Address, times[l.Address])
		times[l.Address]++
	}
	return keys
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

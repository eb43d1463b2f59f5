package node

import "context"

// signReport returns what signs reports of the queue: with the keys of the host, whose name is in their
// From, or else with those of the domain, which DMARC takes as well when the host is below it.
func (n *Node) signReport(domains ...string) func(context.Context, []byte) []byte {
	return func(ctx context.Context, report []byte) []byte {
		for _, domain := range domains {
			fields, err := n.dkim.Sign(ctx, domain, report)
			if err != nil {
				n.log.Warn("a report goes out unsigned", "domain", domain, "err", err)
				return report
			}
			if len(fields) > 0 {
				return append(fields, report...)
			}
		}
		return report
	}
}

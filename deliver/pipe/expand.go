package pipe

type pipe struct{ Config }

func newPipe(cfg Config) (*pipe, error) { return &pipe{cfg}, nil }

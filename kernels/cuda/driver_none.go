//go:build !cuda

package cuda

func openDriver(ordinal int) (driver, error) { return nil, ErrNotBuilt }

// What an embedding program imports: `import DMS`. Of the lowest modules it gets what the other interfaces speak of; kernels
// over raw pointers, thread pools and pages are the package's own affair.

@_exported import DMSCache
@_exported import DMSCheckpoint
@_exported import DMSEvaluation
@_exported import DMSGeneration
@_exported import DMSModel
@_exported import DMSRetrofit
@_exported import DMSText

@_exported import enum DMSKernels.BLASProcessor
@_exported import enum DMSKernels.InstructionSet
@_exported import enum DMSKernels.KVType
@_exported import class DMSKernels.Machine
@_exported import enum DMSKernels.ProductType
@_exported import struct DMSPlatform.InputError
@_exported import enum DMSPlatform.MemoryAccounting
@_exported import class DMSPlatform.MemoryBandwidth
@_exported import enum DMSPlatform.MemoryLimits
@_exported import struct DMSPlatform.Topology
@_exported import enum DMSTensor.BlockFormat
@_exported import enum DMSTensor.ElementType
@_exported import enum DMSTensor.GGMLType
@_exported import struct DMSTensor.TensorView

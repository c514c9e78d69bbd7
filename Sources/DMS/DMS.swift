// What an embedding program imports: `import DMS`.

@_exported import DMSCache
@_exported import DMSCheckpoint
@_exported import DMSEvaluation
@_exported import DMSGeneration
@_exported import DMSKernels
@_exported import DMSModel
@_exported import DMSPlatform
@_exported import DMSRetrofit
@_exported import DMSTensor
@_exported import DMSText

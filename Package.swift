// swift-tools-version: 6.1

import PackageDescription

// The house, bottom up: a target may depend on those above it, never on those below.
let package = Package(
  name: "swift-dms",
  products: [
    .library(name: "DMS", targets: ["DMS"]),
    .executable(name: "dms", targets: ["DMSCommand"]),
  ],
  traits: [
    .trait(name: "CUDA", description: "A GPU beside the CPU. Needs no CUDA toolkit to build.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    // Of the server alone; the library product does not build them.
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .target(name: "CKernels"),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CNUMA", pkgConfig: "numa", providers: [.apt(["libnuma-dev"])]),
    .systemLibrary(name: "COnig", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
    .target(name: "DMSPlatform", dependencies: ["CKernels", "CNUMA"]),
    .target(name: "DMSTensor"),
    .target(name: "DMSKernels", dependencies: ["CKernels", "COpenBLAS", "DMSPlatform", "DMSTensor"]),
    .target(name: "DMSText", dependencies: ["COnig", "DMSPlatform"]),
    .target(name: "DMSCheckpoint", dependencies: ["DMSPlatform", "DMSTensor", "DMSText"]),
    .target(name: "DMSCache", dependencies: ["DMSPlatform", "DMSTensor", "DMSKernels"]),
    .target(
      name: "DMSModel",
      dependencies: [
        "DMSPlatform", "DMSTensor", "DMSKernels", "DMSCheckpoint", "DMSCache",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .target(
      name: "DMSGeneration",
      dependencies: ["DMSPlatform", "DMSTensor", "DMSKernels", "DMSText", "DMSCheckpoint", "DMSCache", "DMSModel"]),
    .target(
      name: "DMSEvaluation",
      dependencies: [
        "DMSPlatform", "DMSKernels", "DMSText", "DMSCheckpoint", "DMSCache", "DMSModel", "DMSGeneration",
      ]),
    .target(
      name: "DMSRetrofit",
      dependencies: [
        "CKernels", "DMSPlatform", "DMSTensor", "DMSKernels", "DMSText", "DMSCheckpoint", "DMSCache", "DMSModel",
        "DMSGeneration", "DMSEvaluation",
      ],
      // A link to Models/recipes: recipes travel with the program.
      resources: [.embedInCode("Recipes")]),
    // A GPU, once the graph of DMSModel goes through it. Until then its tests use it, and with the trait CUDA
    // `dms inspect --hardware`, which looks for one.
    .target(
      name: "DMSCUDA", dependencies: ["DMSPlatform", "DMSTensor", "DMSKernels", "DMSCheckpoint"],
      resources: [.embedInCode("Kernels")]),
    // Runs the kernels of DMSCUDA on the host. For its tests alone.
    .target(name: "CUDAEmulation", path: "Tests/CUDAEmulation"),
    .target(
      name: "DMS",
      dependencies: [
        "DMSPlatform", "DMSTensor", "DMSKernels", "DMSText", "DMSCheckpoint", "DMSCache", "DMSModel", "DMSGeneration",
        "DMSEvaluation", "DMSRetrofit",
      ]),
    .target(
      name: "DMSServer",
      dependencies: [
        "DMSPlatform", "DMSText", "DMSCache", "DMSModel", "DMSGeneration",
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"), .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ]),
    .executableTarget(
      name: "DMSCommand",
      dependencies: [
        "DMSPlatform", "DMSTensor", "DMSKernels", "DMSText", "DMSCheckpoint", "DMSCache", "DMSModel", "DMSGeneration",
        "DMSEvaluation", "DMSRetrofit", "DMSServer", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .target(name: "DMSCUDA", condition: .when(traits: ["CUDA"])),
      ]),
    .testTarget(name: "DMSPlatformTests", dependencies: ["DMSPlatform"]),
    .testTarget(name: "DMSKernelsTests", dependencies: ["DMSKernels", "DMSPlatform", "DMSTensor"]),
    .testTarget(name: "DMSTextTests", dependencies: ["DMSText", "DMSPlatform"]),
    .testTarget(
      name: "DMSCheckpointTests", dependencies: ["DMSCheckpoint", "DMSPlatform", "DMSTensor", "DMSText"]),
    .testTarget(name: "DMSCacheTests", dependencies: ["DMSCache", "DMSKernels", "DMSPlatform"]),
    .testTarget(
      name: "DMSModelTests",
      dependencies: ["DMSModel", "DMSPlatform", "DMSTensor", "DMSKernels", "DMSCheckpoint", "DMSCache"]),
    .testTarget(
      name: "DMSGenerationTests",
      dependencies: [
        "DMSGeneration", "DMSCache", "DMSModel", "DMSKernels", "DMSText", "DMSCheckpoint", "DMSTensor", "DMSPlatform",
      ]),
    .testTarget(
      name: "DMSServerTests",
      dependencies: ["DMSServer", "DMSGeneration", "DMSModel", "DMSKernels", "DMSText", "DMSPlatform"]),
    .testTarget(
      name: "DMSEvaluationTests",
      dependencies: ["DMSEvaluation", "DMSModel", "DMSKernels", "DMSCheckpoint", "DMSPlatform"]),
    .testTarget(
      name: "DMSRetrofitTests",
      dependencies: [
        "DMSRetrofit", "DMSEvaluation", "DMSModel", "DMSKernels", "DMSCheckpoint", "DMSText", "DMSTensor",
        "DMSPlatform",
      ]),
    .testTarget(
      name: "DMSCUDATests",
      dependencies: [
        "DMSCUDA", "CUDAEmulation", "DMSModel", "DMSCache", "DMSCheckpoint", "DMSKernels", "DMSTensor", "DMSPlatform",
      ]),
    .testTarget(
      name: "DMSCommandTests",
      dependencies: ["DMSCommand", "DMSPlatform", "DMSTensor", "DMSText", "DMSCheckpoint", "DMSCache", "DMSRetrofit"]),
  ],
  swiftLanguageModes: [.v6]
)

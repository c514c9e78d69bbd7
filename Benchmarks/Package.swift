// swift-tools-version: 6.1

import PackageDescription

// Timings of swift-dms. A package of its own, so that the library has no benchmark in it and the tests have no timing.
let package = Package(
  name: "swift-dms-benchmarks",
  dependencies: [
    .package(name: "swift-dms", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    .target(name: "CAllocations"),
    .executableTarget(
      name: "dms-benchmarks",
      dependencies: [
        "CAllocations", .product(name: "DMS", package: "swift-dms"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)

// The pictures of the documentation are those of the report that lies beside them.

import Foundation
import Testing

@testable import DMSEvaluation

struct CommittedReportTests {
  private let folder =
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Sources/DMS/DMS.docc/HyperScaling").path

  @Test(arguments: ScalingCost.allCases)
  func theReportMakesItsPictures(cost: ScalingCost) throws {
    let report = try ScalingReport(file: folder + "/report.json")
    let committed = try String(contentsOfFile: "\(folder)/\(cost.rawValue).svg", encoding: .utf8)
    #expect(report.svg(cost, of: "sums") == committed)
  }

  @Test func theReportIsWhatItWouldWrite() throws {
    let text = try String(contentsOfFile: folder + "/report.json", encoding: .utf8)
    let report = try ScalingReport(file: folder + "/report.json")
    #expect(report.json.text + "\n" == text)
    #expect(report.points.count == 18 && report.groups == ["sums"])
  }
}
